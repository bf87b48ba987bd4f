from __future__ import annotations
def read_warc(*a, **k): raise NotImplementedError
