"""Each request comes from an address of its own, as over a proxy that the server trusts: a thousand wrong sign-ins from one
address would be answered 429 long before the last."""

import itertools

import schemathesis

numbers = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(numbers)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
