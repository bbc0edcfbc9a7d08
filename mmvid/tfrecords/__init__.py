"""TFRecords as bytes on disk: framing with checksums, and the wire format of examples, without TensorFlow."""
