"""The URLs of witnesses."""

from pathlib import Path

import pytest

from twindisk.errors import InvalidError, InvalidProblem
from twindisk.witness.place import BucketPlace, EtcdPlace, Place, SharePlace, read_place

AWS = "https://bucket.s3.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("etcd://w1/td", EtcdPlace(("http://w1:2379",), "td")),
        ("etcds://w1:1,[::1]:2/a/b/", EtcdPlace(("https://w1:1", "https://[::1]:2"), "a/b")),
        ("etcd://[fe80::1]/td", EtcdPlace(("http://[fe80::1]:2379",), "td")),
        ("file:///mnt/witness", SharePlace(Path("/mnt/witness"))),
        ("s3://bucket?region=eu-central-1", BucketPlace(AWS, "", "eu-central-1")),
        ("s3://bucket/a/b?region=eu-central-1", BucketPlace(AWS, "a/b", "eu-central-1")),
        ("s3://b-1/td?endpoint=http://s3:9000", BucketPlace("http://s3:9000/b-1", "td", "us-east-1")),
    ],
)
def test_a_place(text: str, place: Place) -> None:
    assert read_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://w/td",
        "etcd://w1",
        "etcd:///td",
        "etcd://w1/td?x=1",
        "etcd://w1,/td",
        "etcd://w1:port/td",
        "etcd://w1/a b",
        "file://host/mnt",
        "file:///",
        "s3://b",
        "s3://bucket?endpoint=ftp://x",
        "s3://bucket?endpoint=http://x/y",
        "s3://bucket?region=a&region=b",
        "s3://bucket?key=x",
        "s3://bucket/td#x",
    ],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read_place(text)
    assert refused.value.problem is InvalidProblem.WITNESS


def test_an_account_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidError) as refused:
        read_place("etcd://root:hush@w1/td")
    assert "hush" not in str(refused.value)
    assert "witness.conf" in str(refused.value)
