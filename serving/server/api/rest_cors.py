"""Cross-origin requests: --rest_api_enable_cors_support."""

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Content-Type",
}


class Cors:
    """Lets pages of any origin ask: every answer says so, and OPTIONS is answered with that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        is_preflight = scope["type"] == "http" and scope["method"] == "OPTIONS"
        app = Response() if is_preflight else self._app
        await app(scope, receive, send_with_headers)
