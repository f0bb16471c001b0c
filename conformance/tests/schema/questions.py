"""What is asked beside what the tool makes up, and what is written down of the answers.

Each request comes from an address of its own, as over a proxy that the server trusts: a thousand wrong sign-ins from one
address would be answered 429 long before the last. For an operation that names what must be there, the first question that the
document allows becomes the one that HALLMARK_SCHEMA_SEEDS has for it, a file of JSON that the test makes. In the file that
HALLMARK_SCHEMA_ANSWERED names a line is written for each operation that was ever answered 2xx, and behind a # how each of our own
questions was refused."""

import itertools
import json
import os
import threading
from urllib.parse import quote

import schemathesis
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import ComponentInfo

numbers = itertools.count(1)
answered, asked = set(), set()
lock = threading.Lock()
with open(os.environ["HALLMARK_SCHEMA_SEEDS"], encoding="utf-8") as file:
    seeds = json.load(file)


def is_allowed(case):
    """Whether the question is one that the document allows, by the operation's own method."""
    own = case.operation.label.split(" ")[0] == case.method.upper()
    return own and case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(numbers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    if not is_allowed(case):
        return
    with lock:
        seed = seeds.pop(case.operation.label, None)
    if seed is None:
        return
    asked.add(case.id)
    case.path_parameters = {name: quote(str(value), safe="") for name, value in seed.get("path", {}).items()}
    case.query = seed.get("query", {})
    case.headers.pop("If-Match", None)
    if "login" in seed:
        # Of what no token may do.
        kwargs["auth"] = tuple(seed["login"])
    if "body" in seed:
        case.body, case.media_type = seed["body"], "application/json"
    # A slash or colon within a parameter is spelled for the path, which its grammar, being that of the name, does not know.
    meta = case.meta
    meta.generation.mode = GenerationMode.POSITIVE
    meta.components = {place: ComponentInfo(mode=GenerationMode.POSITIVE) for place in meta.components}


@schemathesis.hook
def after_call(context, case, response):
    operation, is_made = case.operation.label, response.status_code // 100 == 2
    with lock:
        if is_made and operation not in answered:
            answered.add(operation)
            write(operation)
        if not is_made and case.id in asked:
            write(f"# {operation}: {response.status_code} {response.text}")


def write(line):
    with open(os.environ["HALLMARK_SCHEMA_ANSWERED"], "a", encoding="utf-8") as file:
        file.write(f"{line}\n")
