"""The service that the runbook scales: a small shop API on Flask.

`create_app(config)` builds the WSGI application; `python -m app` serves it. The
package knows nothing of the runbook or of AWS: it reads its environment
(`config.py`) and answers HTTP.
"""

from flask import Flask, Response, request

from app import errors, health, images, limits, openapi, orders, products, proxies, store, users
from app.config import Config
from app.payload import BODY_LIMIT_BYTES

__all__ = ["create_app"]


def create_app(config: Config) -> Flask:
    """Build the application; the store must have been prepared (`start.prepare`)."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT_BYTES
    app.config["JWT_KEY"] = config.jwt_key
    app.config["SERVICE_VERSION"] = config.service_version
    app.json.sort_keys = False  # type: ignore[attr-defined]  # keep the documented order
    app.json.mimetype = "application/json; charset=utf-8"  # type: ignore[attr-defined]
    # `/products/` is `/products`, and `//products` is unknown rather than a redirect.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    store.init_app(app, config.store_url, config.store_pool_size)
    images.init_app(app, config.upload_dir, config.image_bucket)
    errors.init_app(app)
    app.before_request(_answer_preflight)
    app.after_request(_allow_any_origin)
    limits.init_app(app, config.credential_limit, config.credential_limit_storage)
    proxies.init_app(app, config.trusted_proxies, config.public_hosts)
    for module in (health, products, orders, users, images, openapi):
        app.register_blueprint(module.bp)
    return app


def _answer_preflight() -> Response | None:
    """OPTIONS is answered alike on every path, known or not."""
    if request.method != "OPTIONS":
        return None
    response = Response("{}", mimetype="application/json; charset=utf-8")
    response.headers["Access-Control-Allow-Methods"] = "PUT, POST, PATCH, DELETE, GET"
    return response


def _allow_any_origin(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Headers"] = (
        "Origin, X-Requested-With, Content-Type, Accept, Authorization"
    )
    return response
