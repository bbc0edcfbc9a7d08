"""VideoGPT's published Lightning checkpoints, VQ-VAE or GPT: read as our encoders, and written in their format.

Sizes are read from the weights; what weights do not tell (the clip's length and resolution, heads, dropout, the
VQ-VAE's stride) from the arguments in the file. A GPT file has its VQ-VAE inside. Each parameter of ours has one name
there, and the causal masks that the original keeps as L x L buffers in every layer are dropped.

Source: wilson1yan/VideoGPT of 2022-09, Lightning 1.3.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from mmvid.config import explain
from mmvid.durable import replacing
from mmvid.encoders import Encoder, videogpt, vqvae
from mmvid.published.unpickling import read_checkpoint

_MASK = "attn.attn.mask"
_PROJECTIONS = {"query": "w_qs", "key": "w_ks", "value": "w_vs", "out": "fc"}
_RULES = [
    # The VQ-VAE.
    (r"coder\.down\.", "coder.convs."),
    (r"\b(convs\.\d+|encoder\.last)\.(weight|bias)$", r"\1.conv.\2"),
    (r"encoder\.last\.", "encoder.conv_last."),
    (r"decoder\.up\.(\d+)\.", r"decoder.convts.\1.convt."),
    (r"coder\.blocks\.", "coder.res_stack."),
    (r"(res_stack\.\d+)\.norm1\.", r"\1.block.0."),
    (r"(res_stack\.\d+)\.conv1\.", r"\1.block.2.conv."),
    (r"(res_stack\.\d+)\.norm2\.", r"\1.block.3."),
    (r"(res_stack\.\d+)\.conv2\.", r"\1.block.5.conv."),
    (r"(res_stack\.\d+)\.norm3\.", r"\1.block.6."),
    (r"(res_stack\.\d+)\.attention\.(w|h|t)(?:idth|eight|ime)\.", r"\1.block.8.attn_\2."),
    (r"\bbefore\.", "pre_vq_conv.conv."),
    (r"\bafter\.", "post_vq_conv.conv."),
    (r"codebook\.counts$", "codebook.N"),
    (r"codebook\.sums$", "codebook.z_avg"),
    # The frame ResNet.
    (r"resnet\.stem\.", "resnet.stem.0."),
    (r"resnet\.stem_norm\.", "resnet.stem.1.norm.norm."),
    (r"resnet\.groups\.(\d+)\.0\.", lambda match: f"resnet.group{int(match[1]) + 1}.start_block."),
    (
        r"resnet\.groups\.(\d+)\.(\d+)\.",
        lambda match: f"resnet.group{int(match[1]) + 1}.blocks.{int(match[2]) - 1}.",
    ),
    (r"(resnet\.group.*)\.projection\.", r"\1.proj_conv."),
    (r"(resnet\.group.*)\.projection_norm\.", r"\1.proj_bnr.norm.norm."),
    (r"(resnet\.group.*)\.norm([12])\.", r"\1.bnr\2.norm.norm."),
    # The transformer.
    (r"^condition_position\.axes\.", "cond_pos_embd.emb.d_"),
    (r"^input\.", "fc_in."),
    (r"^output\.", "fc_out."),
    (r"^transformer\.start$", "attn_stack.right_shift.sos"),
    (r"^transformer\.position\.axes\.", "attn_stack.pos_embd.emb.d_"),
    (r"^transformer\.norm\.", "norm."),
    (r"^transformer\.blocks\.", "attn_stack.attn_nets."),
    (r"\.attention_norm\.", ".pre_attn_norm."),
    (r"\.condition_norm\.", ".pre_enc_norm."),
    (r"\.mlp_norm\.", ".pre_fc_norm."),
    (r"(attn_nets\.\d+)\.attention\.", r"\1.attn."),
    (r"(attn_nets\.\d+)\.condition\.", r"\1.enc_attn."),
    (r"(attn_nets\.\d+)\.expand\.", r"\1.fc_block.0."),
    (r"(attn_nets\.\d+)\.contract\.", r"\1.fc_block.2."),
    (r"norm\.gain\.weight$", "norm.w.weight"),
    (r"norm\.shift\.weight$", "norm.wb.weight"),
    (r"norm\.gain$", "norm.g"),
    (r"norm\.shift$", "norm.b"),
    (r"\.(query|key|value|out)\.(weight|bias)$", lambda match: f".{_PROJECTIONS[match[1]]}.{match[2]}"),
]


def published_names(model: Encoder) -> dict[str, str]:
    """Our name of each entry of the model's state, and the published one; `initialised` has none."""
    last = model.vqvae.config if isinstance(model, videogpt.Model) else model.config
    names = {}
    for ours in model.state_dict():
        if not ours.endswith("codebook.initialised"):
            name = re.sub(r"coder\.norm\.", lambda match: f"{match[0][:6]}res_stack.{last.residual_layers}.", ours)
            for pattern, replacement in _RULES:
                name = re.sub(pattern, replacement, name)
            names[ours] = name
    return names


def import_checkpoint(path: Path) -> Encoder:
    """The encoder of a published checkpoint, in evaluation mode: a `vqvae.Model` or a `videogpt.Model`.

    Raises:
        ValueError: if the file is not such a checkpoint, is refused as unsafe, or lacks something.
        OSError: if it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    weights, arguments = checkpoint.get("state_dict"), _arguments(checkpoint)
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise ValueError(f"{path} must hold the weights of a model under state_dict")
    try:
        model = _build(weights, arguments)
    except ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    except KeyError as error:
        raise ValueError(f"{path} must be a checkpoint of VideoGPT or of its VQ-VAE, but it has no {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _fill(model, weights, path)
    return model.eval()


def export_checkpoint(model: Encoder, folder: Path) -> list[Path]:
    """Writes the encoder in the published format and gives the files: `vqvae.ckpt`, and `gpt.ckpt` of a VideoGPT.

    The original reads a VideoGPT's VQ-VAE from its own file first, whose path is among the arguments.

    Raises:
        ValueError: if the model has what the original does not know.
    """
    if isinstance(model, videogpt.Model) and model.aligned is not None:
        raise ValueError("the published format has no aligned_condition, this model has; train one without it")
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, videogpt.Model):
        paths = export_checkpoint(model.vqvae, folder)
        return [*paths, _write(model, _gpt_arguments(model, paths[0]), folder / "gpt.ckpt")]
    return [_write(model, _vqvae_arguments(model.config), folder / "vqvae.ckpt")]


def published_state(model: Encoder) -> dict[str, Tensor]:
    """The model's state by published names, with the causal masks that the original expects."""
    ours = model.state_dict()
    state = {name: ours[own].detach().cpu().contiguous() for own, name in published_names(model).items()}
    if isinstance(model, videogpt.Model) and model.layout is None:
        tokens = len(model.transformer.position())
        mask = torch.ones(tokens, tokens).tril()  # one for all layers: the file holds it once
        state |= {f"attn_stack.attn_nets.{layer}.{_MASK}": mask for layer in range(model.config.layers)}
    return state


def _arguments(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The arguments the model was made with; Lightning keeps them one level down or not."""
    kept = checkpoint.get("hyper_parameters") or {}
    inner = kept.get("args", kept) if isinstance(kept, dict) else {}
    return inner if isinstance(inner, dict) else {}


def _build(weights: dict[str, Tensor], arguments: dict[str, Any]) -> Encoder:
    if not any(name.startswith("attn_stack.") for name in weights):
        return vqvae.Model(_vqvae_config(weights, arguments, "", _stride(arguments)))
    axes = [_shape(weights, f"attn_stack.pos_embd.emb.d_{axis}", 2)[0] for axis in range(3)]
    sides = (_length(arguments, "sequence_length"), *[_length(arguments, "resolution")] * 2)
    stride = tuple(side // length for side, length in zip(sides, axes, strict=True))
    frames = "cond_pos_embd.emb.d_0"
    categories = _shape(weights, "norm.w.weight", 2)[1] if "norm.w.weight" in weights else 0
    resnet = {}
    if frames in weights:
        size = _shape(weights, "resnet.group4.start_block.conv1.weight", 5)[0]
        resnet = {"resnet_width": _shape(weights, "resnet.stem.0.weight", 5)[0], "resnet_size": size}
    config = videogpt.Config(
        conditioned_frames=_shape(weights, frames, 2)[0] if frames in weights else 0,
        categories=categories,
        width=_shape(weights, "fc_in.weight", 2)[0],
        heads=_argument(arguments, "heads"),
        layers=_count(weights, r"attn_stack\.attn_nets\.(\d+)\."),
        dropout=arguments.get("dropout", 0.2),
        attention="full" if any(name.endswith(_MASK) for name in weights) else "sparse",
        attention_dropout=arguments.get("attn_dropout", 0.3),
        **resnet,
    )
    return videogpt.Model(config, vqvae.Model(_vqvae_config(weights, arguments, "vqvae.", stride)))


def _vqvae_config(
    weights: dict[str, Tensor], arguments: dict[str, Any], prefix: str, stride: tuple[int, ...]
) -> vqvae.Config:
    codes, code_size = _shape(weights, f"{prefix}codebook.embeddings", 2)
    return vqvae.Config(
        sequence_length=_length(arguments, "sequence_length"),
        resolution=_length(arguments, "resolution"),
        stride=stride,
        codes=codes,
        code_size=code_size,
        hidden=_shape(weights, f"{prefix}encoder.conv_last.conv.weight", 5)[0],
        residual_layers=_count(weights, rf"{re.escape(prefix)}encoder\.res_stack\.(\d+)\.block\."),
    )


def _stride(arguments: dict[str, Any]) -> tuple[int, ...]:
    stride = _argument(arguments, "downsample")
    if not isinstance(stride, list | tuple) or len(stride) != 3:
        raise ValueError(f"hyper_parameters.args.downsample must be three numbers, got {stride!r}")
    return tuple(stride)


def _length(arguments: dict[str, Any], name: str) -> int:
    length = _argument(arguments, name)
    if not isinstance(length, int):
        raise ValueError(f"hyper_parameters.args.{name} must be a whole number, got {length!r}")
    return length


def _argument(arguments: dict[str, Any], name: str) -> Any:
    if arguments.get(name) is None:
        raise KeyError(f"hyper_parameters.args.{name}")
    return arguments[name]


def _shape(weights: dict[str, Tensor], name: str, axes: int) -> torch.Size:
    """The sizes of a weight, none of them 0."""
    shape = weights[name].shape
    if len(shape) != axes or 0 in shape:
        raise ValueError(f"{name} must have {axes} axes and no empty one, got the shape {tuple(shape)}")
    return shape


def _count(weights: dict[str, Tensor], pattern: str) -> int:
    """How many numbers the names have at the pattern's group."""
    return len({match[1] for match in map(re.compile(pattern).match, weights) if match})


def _fill(model: Encoder, weights: dict[str, Tensor], path: Path) -> None:
    """Copies all weights into the model; none may be missing or left over."""
    names = published_names(model)
    given = {name: value for name, value in weights.items() if not name.endswith(_MASK)}
    missing, unknown = sorted(set(names.values()) - set(given)), sorted(set(given) - set(names.values()))
    if missing or unknown:
        parts = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
        parts += [f"has an unknown {unknown[0]} and {len(unknown) - 1} more"] if unknown else []
        raise ValueError(f"{path} must hold VideoGPT's weights, but {' and '.join(parts)}")
    state = {ours: given[name] for ours, name in names.items()}
    state |= {ours: torch.tensor(True) for ours in model.state_dict() if ours not in names}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def _write(model: Encoder, arguments: dict[str, Any], path: Path) -> Path:
    checkpoint = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "1.3.3",
        "state_dict": published_state(model),
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"args": argparse.Namespace(**arguments)},
    }
    with replacing(path) as temporary:
        torch.save(checkpoint, temporary)
    return path


def _vqvae_arguments(config: vqvae.Config) -> dict[str, Any]:
    return {
        "embedding_dim": config.code_size,
        "n_codes": config.codes,
        "n_hiddens": config.hidden,
        "n_res_layers": config.residual_layers,
        "downsample": config.stride,
        "sequence_length": config.sequence_length,
        "resolution": config.resolution,
    }


def _gpt_arguments(model: videogpt.Model, vqvae_file: Path) -> dict[str, Any]:
    config, source = model.config, model.vqvae.config
    return {
        "vqvae": str(vqvae_file),
        "sequence_length": source.sequence_length,
        "resolution": source.resolution,
        "n_cond_frames": config.conditioned_frames,
        "class_cond": config.categories > 0,
        "class_cond_dim": config.categories or None,
        "hidden_dim": config.width,
        "heads": config.heads,
        "layers": config.layers,
        "dropout": config.dropout,
        "attn_type": config.attention,
        "attn_dropout": config.attention_dropout,
        "max_steps": 200_000,  # the original's schedule asks for it even where nothing is trained
    }
