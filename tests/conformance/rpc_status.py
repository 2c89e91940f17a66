"""Status, ErrorInfo and BadRequest of package google.rpc, which grpcio does not bring along.

They are written down here instead of taken from the broker's reflection, so that the two check each other.
"""

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory


def _messages():
    file = descriptor_pb2.FileDescriptorProto(
        name="conformance/google_rpc.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=["google/protobuf/any.proto"],
    )
    field = descriptor_pb2.FieldDescriptorProto

    def add(scope, name, *fields):
        message = scope.add(name=name)
        for number, (field_name, kind, repeated, of) in enumerate(fields, start=1):
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            message.field.add(name=field_name, number=number, type=kind, label=label, type_name=of)
        return message

    text, nested = field.TYPE_STRING, field.TYPE_MESSAGE
    any_type = ("details", nested, True, ".google.protobuf.Any")
    add(file.message_type, "Status", ("code", field.TYPE_INT32, False, None), ("message", text, False, None), any_type)
    info = add(
        file.message_type,
        "ErrorInfo",
        ("reason", text, False, None),
        ("domain", text, False, None),
        ("metadata", nested, True, ".google.rpc.ErrorInfo.MetadataEntry"),
    )
    entry = add(info.nested_type, "MetadataEntry", ("key", text, False, None), ("value", text, False, None))
    entry.options.map_entry = True
    violation = ".google.rpc.BadRequest.FieldViolation"
    bad = add(file.message_type, "BadRequest", ("field_violations", nested, True, violation))
    add(bad.nested_type, "FieldViolation", ("field", text, False, None), ("description", text, False, None))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))
        for name in ("Status", "ErrorInfo", "BadRequest")
    }


MESSAGES = _messages()
