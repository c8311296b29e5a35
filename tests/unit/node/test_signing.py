from dataclasses import replace

import pytest

from twindisk.signing import SKEW_MAX_S, RequestVerifier, Stamp, answer_is_genuine, sign_answer, sign_request

SECRET = b"shared"
pytestmark = pytest.mark.promise("P9")


def stamp(*, nonce: str = "n1", time_s: int = 1000, secret: bytes = SECRET) -> Stamp:
    return sign_request(secret, sender="10.0.0.1", time_s=time_s, nonce=nonce, method="POST", path="/a?b=c", body=b"{}")


def accepts(
    verifier: RequestVerifier, of: Stamp, *, now_s: int = 1000, path: str = "/a?b=c", body: bytes = b"{}"
) -> bool:
    return verifier.accepts(of, now_s=now_s, method="POST", path=path, body=body)


def test_a_signed_request_passes_once() -> None:
    verifier = RequestVerifier(SECRET)
    assert accepts(verifier, stamp())
    assert not accepts(verifier, stamp())
    assert accepts(verifier, stamp(nonce="n2"))


def test_any_change_breaks_the_signature() -> None:
    verifier = RequestVerifier(SECRET)
    assert not accepts(verifier, stamp(), path="/a?b=d")
    assert not accepts(verifier, stamp(), body=b"{ }")
    assert not accepts(verifier, replace(stamp(), sender="10.0.0.3"))
    assert not accepts(verifier, replace(stamp(), time_s=1001))
    assert not accepts(verifier, stamp(secret=b"other"))
    assert not verifier.accepts(stamp(), now_s=1000, method="DELETE", path="/a?b=c", body=b"{}")


def test_a_request_from_another_time_is_refused() -> None:
    verifier = RequestVerifier(SECRET)
    assert not accepts(verifier, stamp(), now_s=1000 + SKEW_MAX_S + 1)
    assert not accepts(verifier, stamp(), now_s=1000 - SKEW_MAX_S - 1)
    assert accepts(verifier, stamp(), now_s=1000 + SKEW_MAX_S)


def test_words_cannot_be_moved_from_one_place_to_the_next() -> None:
    one = sign_request(SECRET, sender="ab", time_s=1, nonce="c", method="GET", path="/", body=b"")
    other = sign_request(SECRET, sender="a", time_s=1, nonce="bc", method="GET", path="/", body=b"")
    assert one.signature != other.signature


def test_a_stamp_goes_through_headers_whole_or_not_at_all() -> None:
    whole = stamp()
    assert Stamp.from_headers(whole.headers()) == whole
    for missing in whole.headers():
        assert Stamp.from_headers({key: value for key, value in whole.headers().items() if key != missing}) is None
    assert Stamp.from_headers({**whole.headers(), "twindisk-time": "soon"}) is None
    assert Stamp.from_headers({**whole.headers(), "twindisk-time": "9" * 30}) is None


def test_an_answer_belongs_to_its_request() -> None:
    signature = sign_answer(SECRET, nonce="n1", status=200, body=b"yes")
    assert answer_is_genuine(SECRET, nonce="n1", status=200, body=b"yes", signature=signature)
    assert not answer_is_genuine(SECRET, nonce="n2", status=200, body=b"yes", signature=signature)
    assert not answer_is_genuine(SECRET, nonce="n1", status=409, body=b"yes", signature=signature)
    assert not answer_is_genuine(SECRET, nonce="n1", status=200, body=b"no", signature=signature)


def test_nonces_are_remembered_as_long_as_their_time_passes_and_no_longer() -> None:
    verifier = RequestVerifier(SECRET)
    for number in range(3):
        assert accepts(verifier, stamp(nonce=str(number)), now_s=1000 + SKEW_MAX_S)
    assert accepts(verifier, stamp(nonce="late", time_s=1001), now_s=1001 + SKEW_MAX_S)
    assert list(verifier._seen) == ["late"]
