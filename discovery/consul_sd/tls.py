"""TLS towards Consul: the context, and what a failed handshake means in words."""

from __future__ import annotations

import ssl
from pathlib import Path

from discovery.consul_sd.errors import ConsulError
from discovery.settings import ConsulSettings


def base_url(address: str) -> str:
    """The address as a URL; Consul's own tools also write it without a scheme."""
    return (address if "://" in address else f"http://{address}").rstrip("/")


def tls_context(settings: ConsulSettings) -> ssl.SSLContext:
    """The TLS settings, to be shared by every client (each would load the trust store again).

    Raises ConsulError, naming the file, if one cannot be used.
    """
    if not base_url(settings.address).startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; httpx would load its own trust store
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise ConsulError(f"consul.ca_file {settings.ca_file}: {error}") from error
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
        except OSError as error:
            raise ConsulError(f"consul.cert_file {settings.cert_file}: {error}") from error
    return context


def tls_fingerprint(settings: ConsulSettings | None) -> tuple[object, ...]:
    """Differs when one of the TLS files has been written anew."""
    files = (settings.ca_file, settings.cert_file, settings.key_file) if settings else ()
    return tuple(_written(Path(file)) for file in files if file)


def _written(file: Path) -> object:
    try:
        stat = file.stat()
    except OSError:
        return None  # reported where it is used
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def describe_tls_failure(error: BaseException, settings: ConsulSettings) -> str:
    """What went wrong with TLS and what would be right; empty if the failure is not TLS's."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return ""
    if isinstance(cause, ssl.SSLCertVerificationError):
        if "match" in cause.verify_message or "mismatch" in cause.verify_message.lower():
            return (
                f"its certificate is for another name ({cause.verify_message}): write an address that the "
                "certificate names, or issue it with this one"
            )
        trusted = f"consul.ca_file {settings.ca_file}" if settings.ca_file else "the system's CA certificates"
        return (
            f"its certificate is not trusted by {trusted} ({cause.verify_message}): "
            "name the CA that issued it in consul.ca_file"
        )
    reason = (cause.reason or str(cause)).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer" in reason or "http request" in reason:
        return f"it does not speak TLS on this port ({reason}): give its https port, or write http://"
    if "alert" in reason:
        what = "refuses the client certificate" if settings.cert_file else "asks for a client certificate"
        return f"it {what} ({reason}): consul.cert_file and consul.key_file must hold one that its CA issued"
    return f"TLS failed: {reason}"
