"""Certificates made for one test, and TLS in front of a server that has none."""

import socket
import ssl
import subprocess
import threading
from pathlib import Path

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def make_ca(folder: Path, name: str) -> Path:
    """A self-signed authority; its key lies beside it."""
    pem = folder / f"{name}.pem"
    openssl("req", "-x509", *EC, "-keyout", pem.with_suffix(".key"), "-out", pem, "-subj", f"/CN={name}", "-days", 2)
    return pem


def make_certificate(ca: Path, name: str, hosts: str) -> Path:
    """A server's certificate of that authority, for hosts like "DNS:localhost,IP:127.0.0.1"."""
    pem, request, extra = (ca.parent / f"{name}.{kind}" for kind in ("pem", "csr", "ext"))
    extra.write_text(f"subjectAltName={hosts}\n")
    openssl("req", *EC, "-keyout", pem.with_suffix(".key"), "-out", request, "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial",
            "-out", pem, "-days", 2, "-extfile", extra)
    return pem


class TlsFront:
    """Listens with TLS on a free port of loopback and passes everything on to `target`, a "host:port"."""

    def __init__(self, target: str, certificate: Path):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.accepted = 0  # handshakes that the other side was content with
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        try:
            outside = self._context.wrap_socket(plain, server_side=True)
            first = outside.recv(65536)  # who did not like the certificate sends nothing
        except OSError:
            plain.close()
            return
        if not first:
            outside.close()
            return
        self.accepted += 1
        inside = socket.create_connection(self._target)
        inside.sendall(first)
        threading.Thread(target=self._pump, args=(inside, outside), daemon=True).start()
        self._pump(outside, inside)

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
