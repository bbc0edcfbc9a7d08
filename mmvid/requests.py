"""Requests to a served model: records with keys of stated types, and HTTP 400 with one sentence where one is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import pydantic
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import SkipValidation


class BadRequest(MlflowException):
    """HTTP 400 and one sentence. The scoring server would put the whole request before it."""

    def __init__(self, sentence: str):
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)
        self.sentence = sentence

    def serialize_as_json(self) -> str:
        return json.dumps({"error_code": self.error_code, "message": self.sentence})


class Answering(Protocol):
    """A service: checked records to answers."""

    def answer(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]: ...


def record_model(kinds: dict[str, Any], open_service: Callable[[Path], Answering]) -> PythonModel:
    """The MLflow model class for records with the given keys.

    The types are for the model's signature only. Nothing is checked by them, so that every fault is told by our own
    sentences instead of a dump of the request.

    Args:
        kinds: key -> the type of its values.
        open_service: makes the service of the package folder. With the model config `dense` its `scores` answer.
    """
    fields: dict[str, Any] = {key: (Annotated[kind | None, SkipValidation], None) for key, kind in kinds.items()}
    record = pydantic.create_model("Record", __config__=pydantic.ConfigDict(extra="allow"), **fields)

    class Served(PythonModel):
        """Answers `Record`s."""

        def load_context(self, context: PythonModelContext) -> None:
            service = open_service(Path(context.artifacts["package"]))
            self.respond = service.scores if (context.model_config or {}).get("dense") else service.answer

        def predict(self, model_input: list[record], params: dict[str, Any] | None = None):  # answers of two kinds
            return self.respond([_sent(each) for each in model_input])

    return Served()


def _sent(record: pydantic.BaseModel) -> dict[str, Any]:
    """What the client sent; a DataFrame has NaN instead of None where a row lacks a key."""
    sent = {name: getattr(record, name) for name in record.model_fields_set}
    return {name: None if isinstance(value, float) and value != value else value for name, value in sent.items()}
