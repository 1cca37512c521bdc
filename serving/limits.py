"""Limits that the model server and its client agree on."""

MAX_MESSAGE_BYTES = 64 << 20
"""Largest message over gRPC, and largest body over REST.

The server's --grpc_channel_arguments may set another grpc.max_receive_message_length.
"""
