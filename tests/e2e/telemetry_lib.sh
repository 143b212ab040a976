# shellcheck shell=bash
# telemetry_lib.sh - reads what the sampler wrote; sourced behind lib.sh, never run. It unpacks what a node
# kept by the words of docs/telemetry.md alone, so that the page stays right.

# holds FILE EXPRESSION: a Python expression over `lines`, `tele`, `full` (objects), `marks` (part, what, text),
# `told` (the last of each series on the wire), `packed` (bytes) and `kept` (all values of each series).
holds() {
	check "$1: $2" python3 - "$1" "$2" <<'END'
import base64, json, struct, sys, zlib

def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8):
            c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
    return c ^ 0xffffffff

class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, n):
        self.at += n
        assert self.at <= len(self.data)
        return self.data[self.at - n:self.at]
    def number(self):
        value = shift = 0
        while True:
            b = self.take(1)[0]
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value
    def string(self):
        return self.take(self.number()).decode()
    def numbers(self):
        inner = Bytes(self.take(self.number()))
        found = [[] for _ in range(inner.number())]
        going = found
        while going:
            plane = inner.take(len(going))
            for n, b in zip(going, plane):
                n.append(b & 127)
            going = [n for n, b in zip(going, plane) if b >= 128]
        assert inner.at == len(inner.data)
        return [sum(b << 7 * i for i, b in enumerate(n)) for n in found]

def column(numbers, is_flow, unit):
    values, last, slope, numbers = [], None, 0, iter(numbers)
    for n in numbers:
        if n in (1, 2):
            values += [None if n == 1 else "silent"] * next(numbers)
            continue
        off, times = ((n - 2) >> 1 ^ -((n - 2) & 1), 1) if n > 2 else (0, next(numbers))
        for _ in range(times):
            if last is None:
                last = off
            else:
                slope = slope + off if is_flow else off
                last += slope
            values.append(last * unit)
    return values

def unpack(data):
    kept = {}
    while data:
        magic, total, packed, raw, first, final, _ = struct.unpack("<4sIIIqqI", data[:36])
        assert magic == b"ATB1" and total == crc(data[8:36 + packed])
        b = Bytes(zlib.decompress(data[36:36 + packed]))
        assert len(b.data) == raw
        rows = b.number()
        times = column(b.numbers(), True, 1)
        assert len(times) == rows and times[0] == first and times[-1] == final
        kept["ms"] = kept.get("ms", []) + times
        for _ in range(b.number()):
            part, name, about, kind = b.string(), b.string(), b.string(), b.number()
            unit, moved = float(b.string()), float(b.string())
            values = column(b.numbers(), kind == 1, unit)
            assert len(values) == rows
            kept.setdefault((part or "node") + "." + name, []).extend(values)
        assert b.at == raw
        data = data[36 + packed:]
    return kept

raw = open(sys.argv[1], "rb").read().split(b"\n")[:-1]
assert all(len(l) <= 1000 for l in raw)
assert all(int(l[-10:-2], 16) == crc(l[:-16]) for l in raw)
lines = [json.loads(l) for l in raw]
tele = [l for l in lines if l["e"] == "tele"]
marks = [(l["part"], l["what"], l["text"]) for l in lines if l["e"] == "mark"]
full = [l for l in lines if l["e"] == "full"]
packed = b"".join(base64.b64decode(l["z"]) for l in full if "z" in l)
kept = unpack(packed)
told = {}
for l in tele:
    told.update(l["v"])
sys.exit(not eval(sys.argv[2]))
END
}
