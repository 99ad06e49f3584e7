"""Writes the corpus of the parsers in protocol/: run it to make the files anew after a change.

Each file is named good-* (the parser must accept it) or bad-* (it must refuse it).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
HEADER = (
    b'{"msg_id": "s_1_0", "msg_type": "execute_request", "username": "u", "session": "s",'
    b' "date": "2026-01-31T23:59:59.123456Z", "version": "5.4"}'
)
CONTENT = (
    b'{"code": "print(0.1)\\n\\u00e9\\ud83d\\ude00\\ud800",'
    b' "silent": false, "n": [1, -0.5e+3, null]}'
)
PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


def message_split() -> dict[str, bytes]:
    """Lines: the secret, then a frame each."""
    parts = [HEADER, b"{}", b"{}", CONTENT]

    def lines(secret: bytes, *frames: bytes) -> bytes:
        return b"\n".join((secret, *frames)) + b"\n"

    def sign(secret: bytes, frames: list[bytes]) -> bytes:
        return hmac.new(secret, b"".join(frames), hashlib.sha256).hexdigest().encode()

    good = sign(b"key", parts)
    return {
        "good-signed": lines(b"key", b"<IDS|MSG>", good, *parts),
        "good-identities": lines(b"key", b"", b"client", b"<IDS|MSG>", good, *parts),
        "good-buffers": lines(b"key", b"id", b"<IDS|MSG>", good, *parts, b"\x00\xff", b""),
        "good-delimiter-again": lines(b"key", b"<IDS|MSG>", good, *parts, b"<IDS|MSG>"),
        "good-no-secret": lines(b"", b"id", b"<IDS|MSG>", b"", *parts),
        "good-empty-metadata": lines(b"", b"<IDS|MSG>", b"", HEADER, b"{}", b"", CONTENT),
        "good-random-bytes": lines(b"", b"<IDS|MSG>", b"\x01", b"\xfe", b"{", b"\x00", b"]"),
        "bad-signature": lines(b"key", b"<IDS|MSG>", good[:-1] + b"x", *parts),
        "bad-empty-signature": lines(b"key", b"<IDS|MSG>", b"", *parts),
        "bad-other-secret": lines(b"yek", b"<IDS|MSG>", good, *parts),
        "bad-swapped": lines(b"key", b"<IDS|MSG>", good, *reversed(parts)),
        "bad-no-delimiter": lines(b"", b"id", b"<IDS|MSG", b"", *parts),
        "bad-too-few": lines(b"", b"<IDS|MSG>", b"", HEADER, b"{}", b"{}"),
        "bad-only-delimiter": lines(b"", b"<IDS|MSG>"),
        "bad-empty": b"",
    }


def header() -> dict[str, bytes]:
    return {
        "good-client": HEADER,
        "good-least": b'{"msg_id":"1","msg_type":"t"}',
        "good-no-date": b'{"msg_id":"1","msg_type":"t","session":"s","date":""}',
        "good-nulls": b'{"msg_id":"1","msg_type":"t","session":null,"subshell_id":null}',
        "good-subshell": b'{"msg_id":"1","msg_type":"t","subshell_id":"x"}',
        "good-unknown": b'{"msg_id":"1","x":{"y":[0.1]},"msg_type":"t","x":"again"}',
        "good-surrogate": b'{"msg_id":"\\ud800","msg_type":"\\udc00\\ud83d\\ude00"}',
        "good-escaped-name": b'{"\\u006dsg_id":"1","msg_type":"t"}',
        "bad-empty": b"",
        "bad-null": b"null",
        "bad-list": b"[]",
        "bad-no-id": b'{"msg_type":"t"}',
        "bad-id-number": b'{"msg_id":1,"msg_type":"t"}',
        "bad-session-object": b'{"msg_id":"1","msg_type":"t","session":{}}',
        "bad-nul": b'{"msg_id":"a\\u0000","msg_type":"t"}',
        "bad-twice": b'{"msg_id":"1","msg_type":"t","\\u006dsg_id":"2"}',
        "bad-cut": HEADER[:-1],
        "bad-not-utf8": b'{"msg_id":"\xff","msg_type":"t"}',
        "bad-large": b'{"msg_id":"1","msg_type":"t"}' + b" " * 65536,
    }


def connection() -> dict[str, bytes]:
    ports = {f"{name}_port": 5000 + i for i, name in enumerate(["shell", "iopub", "stdin"])}
    full = {
        "transport": "tcp",
        "ip": "127.0.0.1",
        **ports,
        "control_port": 1,
        "hb_port": 65535,
        "key": "a0436f6c",
        "signature_scheme": "hmac-sha256",
        "kernel_name": "warmcell",
        "jupyter_session": "/home/é.ipynb",
    }

    def text(**changes: object) -> bytes:
        return json.dumps(full | changes, indent=2).encode()

    return {
        "good-full": text(),
        "good-curve": text(curve_publickey=PUBLIC, curve_secretkey=SECRET),
        "good-ipc": text(transport="ipc", ip="/tmp/kernel"),
        "good-ports-0": text(shell_port=0, hb_port=None),
        "good-any-address": text(ip="*"),
        "good-v6": text(ip="::1"),
        "good-empty-object": b"{}",
        "good-unknown": text(future={"x": [0.1, None, {"y": True}]}),
        "bad-empty": b"",
        "bad-list": b"[1]",
        "bad-transport": text(transport="udp"),
        "bad-ipc-without-path": text(transport="ipc", ip=""),
        "bad-port-large": text(shell_port=65536),
        "bad-port-negative": text(shell_port=-1),
        "bad-port-text": text(shell_port="1"),
        "bad-port-real": text(shell_port=1.0),
        "bad-key-number": text(key=1),
        "bad-nul": text(key="a\0b"),
        "bad-half-curve": text(curve_publickey=PUBLIC),
        "bad-curve-key": text(curve_publickey=PUBLIC, curve_secretkey=SECRET[:-1] + '"'),
        "bad-twice": b'{"key": "a", "key": "b"}',
        "bad-surrogate": b'{"key": "\\ud800"}',
        "bad-cut": text()[:-2],
        "bad-large": b"{}" + b" " * 65536,
        "bad-deep": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    }


def v1(parts: list[bytes]) -> bytes:
    at = 8 * (2 + len(parts))
    offsets = [at]
    for part in parts:
        at += len(part)
        offsets.append(at)
    return struct.pack(f"<{1 + len(offsets)}Q", len(offsets), *offsets) + b"".join(parts)


def with_number(order: str, frame: bytes, place: int, value: int) -> bytes:
    size = struct.calcsize(order)
    return frame[: place * size] + struct.pack(order, value) + frame[(place + 1) * size :]


def framing_v1() -> dict[str, bytes]:
    parts = [b"shell", HEADER, b"{}", b"{}", CONTENT]
    frame = v1([*parts, b"\x00\x01"])

    def change(place: int, value: int) -> bytes:
        return with_number("<Q", frame, place, value)

    return {
        "good-no-buffers": v1(parts),
        "good-buffers": v1([*parts, b"\x00\xff", b"", b"abc"]),
        "good-iopub": v1([b"iopub", *parts[1:]]),
        "good-empty-parts": v1([b"stdin", HEADER, b"", b"", b""]),
        "good-not-json": v1([b"control", b"\x00", b"{", b"\xff", b"]"]),
        "good-1024-buffers": v1([*parts, *[b"x"] * 1024]),
        "bad-1025-buffers": v1([*parts, *[b"x"] * 1025]),
        "bad-empty": b"",
        "bad-7-bytes": frame[:7],
        "bad-only-count": frame[:8],
        "bad-cut": frame[:-1],
        "bad-longer": frame + b"x",
        "bad-channel": v1([b"hb", *parts[1:]]),
        "bad-no-channel": v1([b"", *parts[1:]]),
        "bad-five-offsets": v1(parts[:4]),
        "bad-count-0": change(0, 0),
        "bad-count-huge": change(0, 2**64 - 1),
        "bad-count-wraps": change(0, 2**61 - 1),
        "bad-first": change(1, 8),
        "bad-second-falls": change(2, 1),
        "bad-third-huge": change(3, 2**64 - 1),
        "bad-third-beyond": change(3, len(frame) + 1),
        "bad-last": change(7, len(frame) - 1),
    }


def framing_json() -> dict[str, bytes]:
    text = b'{"header":%s,"parent_header":{"p":1},"metadata":{},"content":%s,"channel":"stdin"}'
    text %= (HEADER, CONTENT)

    def binary(*parts: bytes) -> bytes:
        at = 4 * (1 + len(parts))
        offsets = []
        for part in parts:
            offsets.append(at)
            at += len(part)
        return struct.pack(f">{1 + len(offsets)}I", len(offsets), *offsets) + b"".join(parts)

    frame = binary(text, b"\x00\xff", b"", b"end")

    def change(place: int, value: int) -> bytes:
        return with_number(">I", frame, place, value)

    return {
        "good-text": text,
        "good-binary": frame,
        "good-binary-no-buffers": binary(text),
        "good-1024-buffers": binary(text, *[b"x"] * 1024),
        "good-no-channel": b'{"header":' + HEADER + b',"content":{}}',
        "good-nulls": b'{"header":{},"parent_header":null,"metadata":null,"content":null}',
        "good-no-id": b'{"header":{"msg_type":"t"},"content":{"x":0.1}}',
        "good-escaped": b'{"\\u0068eader":{"msg_id":"\\u0031","msg_type":"t"},"channel":"io\\u0070ub"}',
        "bad-empty": b"",
        "bad-no-header": b'{"content":{}}',
        "bad-header-list": b'{"header":[]}',
        "bad-content-text": b'{"header":{},"content":"x"}',
        "bad-channel": b'{"header":{},"channel":"hb"}',
        "bad-twice": b'{"header":{},"header":{}}',
        "bad-cut-text": text[:-1],
        "bad-cut-binary": frame[:18],
        "bad-1025-buffers": binary(text, *[b"x"] * 1025),
        "bad-count-0": change(0, 0),
        "bad-first": change(1, 4),
        "bad-second-falls": change(2, 0),
        "bad-second-beyond": change(2, 2**32 - 1),
        "bad-third-falls": change(3, 20),
        "bad-deep": b'{"header":' + b"[" * 100000,
    }


def link_frame(
    kind: int, number: int, parts: list[bytes], length: int | None = None, flags: int = 0
) -> bytes:
    body = struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)
    length = len(body) if length is None else length
    return struct.pack("<IBBHQ", length, kind, flags, len(parts), number) + body


def link_reader() -> dict[str, bytes]:
    request = link_frame(2, 7, [b"execute_request", HEADER, b"{}", CONTENT])
    stream = link_frame(17, 7, [b"stdout", b"a\nb\x00c"], flags=2)
    done = link_frame(20, 2**64 - 1, [])
    return {
        "good-empty": b"",
        "good-one": request,
        "good-three": request + stream + done,
        "good-many": stream * 200,
        "good-empty-parts": link_frame(19, 1, [b"", b"", b""]),
        "good-1100-parts": link_frame(19, 1, [b"x"] * 1100),
        "good-big": link_frame(18, 1, [b"x" * 200000]) + done,
        "good-unknown-kind": link_frame(255, 0, [b"?"], flags=255),
        "bad-cut-head": done[:15],
        "bad-cut-part": request[:-1],
        "bad-1101-parts": link_frame(19, 1, [b""] * 1101),
        "bad-too-large": link_frame(18, 1, [], length=2**32 - 1),
        "bad-beyond-limit": link_frame(18, 1, [b"x" * 262145]),
        "bad-table": link_frame(18, 1, [b"", b""], length=7),
        "bad-part-leaves": struct.pack("<IBBHQII", 10, 17, 0, 2, 1, 1, 2) + b"ab",
        "bad-part-wraps": struct.pack("<IBBHQII", 10, 17, 0, 2, 1, 3, 2**32 - 1) + b"ab",
        "bad-byte-over": struct.pack("<IBBHQI", 6, 17, 0, 1, 1, 1) + b"ab",
        "bad-second": done + struct.pack("<IBBHQ", 1, 17, 0, 0, 1) + b"x",
    }


def json_slices() -> dict[str, bytes]:
    deep = b'{"a":' + b"[" * 199 + b"]" * 199 + b"}"
    return {
        "good-empty": b"{}",
        "good-space": b" \t\r\n{ } \n",
        "good-members": b'{"a" : 0.1 , "bb":"x\\n","content":' + CONTENT + b"}",
        "good-numbers": b'{"a":[0,-0,0.5,1e9,1E-9,1.25e+300,1e400,123456789012345678901234567890]}',
        "good-escapes": b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00","\\u0062b":"\\u0000"}',
        "good-surrogates": b'{"a":"\\ud800","bb":"\\udc00x"}',
        "good-utf8": '{"a":"é€😀\x7f","é":1}'.encode(),
        "good-other-twice": b'{"x":1,"x":2,"a":{"a":1,"a":2}}',
        "good-nested-names": b'{"x":{"a":1},"y":["a"],"z":"a"}',
        "good-deep-200": deep,
        "good-deep-objects": b'{"a":' + b'{"a":' * 199 + b"1" + b"}" * 200,
        "bad-deep-201": b'{"a":[' + deep[5:-1] + b"]}",
        "bad-deep-open": b'{"a":' + b"[" * 100000,
        "bad-deep-objects-open": b'{"a":' * 50000,
        "bad-empty": b"",
        "bad-list": b'["a"]',
        "bad-twice": b'{"a":1,"a":1}',
        "bad-twice-escaped": b'{"a":1,"\\u0061":1}',
        "bad-follows": b"{}{}",
        "bad-nul-follows": b"{}\x00",
        "bad-nul-after-number": b'{"a":2\x00}',
        "bad-comma": b'{"a":1,}',
        "bad-list-comma": b'{"a":[1,]}',
        "bad-closing": b'{"a":[1}}',
        "bad-colon": b'{"a" 1}',
        "bad-number-0": b'{"a":01}',
        "bad-number-dot": b'{"a":1.}',
        "bad-number-sign": b'{"a":-}',
        "bad-number-exponent": b'{"a":1e+}',
        "bad-nan": b'{"a":NaN}',
        "bad-word": b'{"a":tru}',
        "bad-control": b'{"a":"\n"}',
        "bad-escape": b'{"a":"\\x"}',
        "bad-escape-cut": b'{"a":"\\u12',
        "bad-string-open": b'{"a":"xxxxxxxxxxxxxxxxxxxxxxxx',
        "bad-utf8": b'{"a":"\xc3"}',
        "bad-utf8-surrogate": b'{"a":"\xed\xa0\x80"}',
        "bad-mark": b"\xef\xbb\xbf{}",
    }


def json_string() -> dict[str, bytes]:
    return {
        "good-empty": b'""',
        "good-plain": b'"plain text, longer than one word"',
        "good-escapes": b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"',
        "good-pair": b'"\\ud83d\\ude00"',
        "good-surrogates": b'"\\ud83d\\ud83d\\ude00\\ude00 \\ud83dx"',
        "good-nul": b'"a\\u0000b"',
        "good-utf8": '"é€😀\x7f"'.encode(),
        "bad-empty": b"",
        "bad-quote": b'"',
        "bad-bare": b"text",
        "bad-inner-quote": b'"a"b"',
        "bad-escaped-end": b'"\\"',
        "bad-escape": b'"\\q"',
        "bad-hex": b'"\\u00g0"',
        "bad-hex-cut": b'"\\u00"',
        "bad-control": b'"\t"',
        "bad-utf8": b'"\xff"',
        "bad-raw-bytes": bytes(range(256)),
    }


def json_fields() -> dict[str, bytes]:
    return {
        "good-all": b'{"s": "text", "i": 7, "b": false, "o": {"x": [1.5]}}',
        "good-nulls": b'{"s": null, "i": null, "b": null, "o": null}',
        "good-wrong-types": b'{"s": 1, "i": "1", "b": 0, "o": []}',
        "good-out-of-range": b'{"i": 9223372036854775807}',
        "good-nul": b'{"s": "a\\u0000b", "i": 1.0}',
        "good-empty": b"{}",
        "bad-empty": b"",
        "bad-list": b"[]",
        "bad-text": b'"x"',
        "bad-twice": b'{"s": 1, "s": 2}',
        "bad-integer": b'{"i": 9223372036854775808}',
        "bad-surrogate": b'{"s": "\\ud800"}',
        "bad-nul-after-number": b'{"i": 2\x00}',
        "bad-follows": b"{} x",
        "bad-deep": b'{"s":' + b"[" * 60000,
        "bad-large": b"{}" + b" " * 65536,
    }


def utf8() -> dict[str, bytes]:
    return {
        "good-empty": b"",
        "good-ascii": b"plain text, longer than one word\x00\x7f",
        "good-edges": "\x80߿ࠀ\ud7ff\ue000￿\U00010000\U0010ffff".encode(),
        "good-mixed": "twelve ASCII é then more ASCII € and 😀.".encode() * 20,
        "bad-alone": b"ab\x80",
        "bad-overlong-2": b"\xc0\x80",
        "bad-overlong-3": b"\xe0\x9f\xbf",
        "bad-overlong-4": b"\xf0\x8f\xbf\xbf",
        "bad-surrogate": b"\xed\xa0\x80",
        "bad-beyond": b"\xf4\x90\x80\x80",
        "bad-lead": b"\xf5\x80\x80\x80",
        "bad-cut-2": b"ab\xc3",
        "bad-cut-3": b"ab\xe2\x82",
        "bad-cut-4": b"ab\xf0\x9f\x98",
        "bad-cut-inside": b"\xe2\x82(",
        "bad-late": b"x" * 1000 + b"\xff" + b"x" * 1000,
        "bad-every-byte": bytes(range(256)),
    }


def wire() -> dict[str, bytes]:
    """Datagrams of the keeper."""

    def datagram(body: bytes, kind: int = 2, number: int = 7) -> bytes:
        return struct.pack("<II", kind, number) + body

    start = {"sandbox": "a-1", "warm": True, "argv": ["python3", "é"], "cwd": "/workspace"}
    return {
        "good-empty-object": datagram(b"{}"),
        "good-start": datagram(json.dumps(start).encode()),
        "good-unknown-kind": datagram(b"{}", 2**32 - 1, 2**32 - 1),
        "good-most": datagram(b"{}" + b" " * 65526),
        "bad-empty": b"",
        "bad-cut-head": datagram(b"")[:7],
        "bad-only-head": datagram(b""),
        "bad-list": datagram(b"[]"),
        "bad-cut": datagram(json.dumps(start).encode()[:-1]),
        "bad-follows": datagram(b"{}{}"),
        "bad-twice": datagram(b'{"sandbox": "a", "sandbox": "b"}'),
        "bad-deep": datagram(b'{"limits":' + b"[" * 60000),
        "bad-large": datagram(b"{}" + b" " * 65536),
    }


PARSERS: list[Callable[[], dict[str, bytes]]] = [
    connection,
    framing_json,
    framing_v1,
    header,
    json_fields,
    json_slices,
    json_string,
    link_reader,
    message_split,
    utf8,
    wire,
]


def main() -> None:
    for parser in PARSERS:
        folder = HERE / parser.__name__
        folder.mkdir(exist_ok=True)
        for name, data in parser().items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
