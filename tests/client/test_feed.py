"""Feeds as people have them: files with everything that goes wrong in files."""

import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike import Image, Money, Product
from lookalike.cli.feed import open_feed
from lookalike.cli.rows import Entry, Rejected
from lookalike.cli.tables import FeedError
from lookalike.cli.values import guess

HEADER = "product_id,image,title,category,price,currency,in_stock,tags,color"


def shop(folder: Path, *lines: str, name: str = "shop.csv", header: str = HEADER) -> Path:
    for picture in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / picture).write_bytes(picture.encode())
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n" if header else "\n".join(lines) + "\n", encoding="utf-8")
    return path


def entries(path: Path) -> list[Entry | Rejected]:
    with open_feed(path) as feed:
        found = list(feed)
        assert len(found) == feed.products
        return found


def only(path: Path) -> Entry | Rejected:
    (found,) = entries(path)
    return found


def messages(rejected: Entry | Rejected) -> dict[str, str]:
    assert isinstance(rejected, Rejected)
    return {problem.row.where: problem.message for problem in rejected.problems}


def test_a_row_is_a_product(tmp_path: Path) -> None:
    found = only(shop(tmp_path, "mug-1,a.jpg,Blue mug,mug,24.90,EUR,yes,new|blue,blue"))
    assert isinstance(found, Entry)
    assert found.product == Product(
        "mug-1",
        title="Blue mug",
        category="mug",
        price=Money(2490, "EUR"),
        in_stock=True,
        tags=("new", "blue"),
        attributes={"color": "blue"},
        images=(Image(tmp_path / "a.jpg", uri="a.jpg"),),
    )


def test_rows_of_one_product_are_its_pictures_wherever_they_stand(tmp_path: Path) -> None:
    header = "product_id,image,title"
    path = shop(tmp_path, "mug-1,a.jpg,Mug", "cup-1,b.jpg,Cup", "mug-1,c.jpg,", "cup-1,a.jpg,Cup", header=header)
    pictures = {e.product.product_id: [i.uri for i in e.product.images] for e in entries(path) if isinstance(e, Entry)}
    assert pictures == {"mug-1": ["a.jpg", "c.jpg"], "cup-1": ["b.jpg", "a.jpg"]}
    assert list(pictures) == ["mug-1", "cup-1"]


@given(order=st.permutations([(product, picture) for product in "xyz" for picture in "abc"]))
def test_the_order_of_rows_changes_no_product(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("feed")
    path = shop(folder, *(f"{product},{picture}.jpg" for product, picture in order), header="product_id,image")
    found = {e.product.product_id: {i.uri for i in e.product.images} for e in entries(path) if isinstance(e, Entry)}
    assert found == {product: {"a.jpg", "b.jpg", "c.jpg"} for product in "xyz"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    found = only(
        shop(tmp_path, "mug-1,a.jpg,Mug".replace(",", delimiter), header=f"product_id{delimiter}image{delimiter}title")
    )
    assert isinstance(found, Entry)
    assert found.product.title == "Mug"


def test_quotes_line_breaks_and_a_byte_order_mark_are_no_trouble(tmp_path: Path) -> None:
    header = "\ufeffproduct_id,image,title"
    path = shop(tmp_path, 'mug-1,a.jpg,"a ""big"",\nblue mug"', "", "cup-1,b.jpg,Cup", header=header)
    first, second = entries(path)
    assert isinstance(first, Entry)
    assert first.product.title == 'a "big",\nblue mug'
    assert isinstance(second, Entry)
    assert second.rows[0].where == "line 5"


def test_numbers_and_truths_of_a_csv_become_attributes_of_that_type(tmp_path: Path) -> None:
    found = only(shop(tmp_path, "1,a.jpg,38,3.50,true,007", header="product_id,image,size,litres,vegan,code"))
    assert isinstance(found, Entry)
    assert found.product.product_id == "1"
    assert found.product.attributes == {"size": 38, "litres": 3.5, "vegan": True, "code": "007"}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("mug-1,gone.jpg,,,,,,,", "no such picture"),
        ("mug-1,,,,,,,,", "image is empty"),
        ("mug-1,https://x.example/a.jpg,,,,,,,", "web address"),
        (",a.jpg,,,,,,,", "product_id is empty"),
        ("mug-1,a.jpg", "has 2 cells, and the header has 9"),
        ("mug-1,a.jpg,,,cheap,EUR,,,", "price: bad amount 'cheap'"),
        ("mug-1,a.jpg,,,24.999,EUR,,,", "EUR has 2 digits"),
        ("mug-1,a.jpg,,,24.90,,,,", "no currency"),
        ("mug-1,a.jpg,,,24.90,EURO,,,", "unknown currency"),
        ("mug-1,a.jpg,,,,,perhaps,,", "true or false"),
    ],
)
def test_a_bad_row_says_what_is_wrong_and_the_others_go_on(tmp_path: Path, row: str, why: str) -> None:
    bad, good = entries(shop(tmp_path, row, "cup-1,b.jpg,,,,,,,"))
    assert why in messages(bad)["line 2"]
    assert isinstance(good, Entry)


def test_a_row_that_is_not_utf8_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    path = shop(tmp_path, header="product_id,image,title")
    path.write_bytes(path.read_bytes() + b"mug-1,a.jpg,Caf\xe9\n\xe9,a.jpg,x\ncup-1,b.jpg,Cup\n")
    bad, worse, good = entries(path)
    assert "UTF-8" in messages(bad)["line 2"]
    assert "UTF-8" in messages(worse)["line 3"]
    assert isinstance(good, Entry)


def test_a_quote_that_is_never_closed_is_told(tmp_path: Path) -> None:
    path = shop(tmp_path, "cup-1,b.jpg,Cup", 'mug-1,a.jpg,"Mug', "x" * 200_000, header="product_id,image,title")
    good, *bad = entries(path)
    assert isinstance(good, Entry)
    assert "never closed" in messages(bad[0])["line 3"]


def test_a_product_is_imported_whole_or_not_at_all(tmp_path: Path) -> None:
    found = only(shop(tmp_path, "mug-1,a.jpg,,,,,,,", "mug-1,gone.jpg,,,,,,,"))
    assert messages(found) == {
        "line 2": "not wrong itself; line 3 of the same product is",
        "line 3": f"no such picture: {tmp_path / 'gone.jpg'}",
    }


def test_rows_of_one_product_that_disagree_are_told(tmp_path: Path) -> None:
    found = only(shop(tmp_path, "mug-1,a.jpg,Mug,,,,,,", "mug-1,b.jpg,Cup,,,,,,"))
    assert messages(found)["line 3"] == "title is 'Cup' here and 'Mug' in line 2, for the same product_id"


def test_a_row_that_repeats_another_is_told_and_does_no_harm(tmp_path: Path) -> None:
    found = only(shop(tmp_path, "mug-1,a.jpg,Mug,,,,,,", "mug-1,b.jpg,Mug,,,,,,", "mug-1,a.jpg,Mug,,,,,,"))
    assert isinstance(found, Entry)
    assert [image.uri for image in found.product.images] == ["a.jpg", "b.jpg"]
    assert found.repeats == {2: "repeats line 2: same product_id and image"}
    assert len(found.repeated) == 3


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("product_id,title", "no column image; its columns are: product_id, title"),
        ("sku,picture", "no column product_id and no column image"),
        ("product_id,image,image", "two columns 'image'"),
    ],
)
def test_a_header_that_will_not_do_is_told_at_once(tmp_path: Path, header: str, why: str) -> None:
    with pytest.raises(FeedError, match=why):
        open_feed(shop(tmp_path, header=header))


@pytest.mark.parametrize("name", ["shop.csv", "shop.jsonl"])
def test_an_empty_or_a_missing_file_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(FeedError, match="No such file"):
        open_feed(tmp_path / name)
    (tmp_path / name).write_bytes("product_id".encode("utf-16"))
    with pytest.raises(FeedError, match="UTF-16"):
        open_feed(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    if name == "shop.jsonl":
        assert entries(tmp_path / name) == []
    else:
        with pytest.raises(FeedError, match="no header"):
            open_feed(tmp_path / name)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"give a \.csv or \.jsonl file"):
        open_feed(tmp_path / "shop.xlsx")


def test_json_keeps_its_types(tmp_path: Path) -> None:
    row = {"product_id": "mug-1", "image": ["a.jpg", "b.jpg"], "price": 24.9, "currency": "EUR", "tags": ["new"]}
    more = {"in_stock": False, "size": "42", "weight": 0.4, "parts": {"lid": True}}
    found = only(shop(tmp_path, json.dumps(row | more), name="shop.jsonl", header=""))
    assert isinstance(found, Entry)
    assert found.product.price == Money(2490, "EUR")
    assert (found.product.in_stock, found.product.tags, len(found.product.images)) == (False, ("new",), 2)
    assert found.product.attributes == {"size": "42", "weight": 0.4, "parts": {"lid": True}}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no JSON object"),
        ('{"product_id": "a", "image": "a.jpg", "x": NaN}', "NaN is no number"),
        ('{"image": "a.jpg"}', "product_id is empty"),
        ('{"product_id": "a"}', "image is empty"),
        ('{"product_id": "a", "image": 7}', "image is no path"),
        ('{"product_id": "a", "image": "a.jpg", "title": 7}', "title is no text"),
        ('{"product_id": "a", "image": "a.jpg", "tags": 7}', "joined by bars"),
        ('{"product_id": "a", "image": "a.jpg", "price": true, "currency": "EUR"}', "is no amount"),
        ('{"product_id": "\\ud800", "image": "a.jpg", "title": []}', "title is no text"),
    ],
)
def test_a_bad_line_of_json_says_what_is_wrong(tmp_path: Path, line: str, why: str) -> None:
    bad, good = entries(shop(tmp_path, line, '{"product_id": 7, "image": "b.jpg"}', name="shop.jsonl", header=""))
    assert why in messages(bad)["line 1"]
    assert isinstance(good, Entry)
    assert good.product.product_id == "7"


def test_a_folder_of_folders_is_a_feed(tmp_path: Path) -> None:
    for path in ("mug/blue-mug/1.jpg", "mug/blue-mug/2.PNG", "cup_one/a.webp", "cup_one/notes.txt", ".git/x/y.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"picture")
    found = [entry.product for entry in entries(tmp_path) if isinstance(entry, Entry)]
    assert [(p.product_id, p.title, p.category, [i.uri for i in p.images]) for p in found] == [
        ("cup_one", "cup one", "", ["cup_one/a.webp"]),
        ("blue-mug", "blue mug", "mug", ["mug/blue-mug/1.jpg", "mug/blue-mug/2.PNG"]),
    ]


def test_a_folder_says_what_is_wrong_with_a_picture(tmp_path: Path) -> None:
    for path in ("loose.jpg", "mug/same/1.jpg", "cup/same/1.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"picture")
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    (tmp_path / os.fsdecode(b"caf\xe9/1.jpg")).write_bytes(b"picture")
    found = dict(itertools.chain.from_iterable(messages(entry).items() for entry in entries(tmp_path)))
    assert "outside any product" in found["loose.jpg"]
    assert "category is" in found["mug/same/1.jpg"]
    assert "not UTF-8" in found["b'caf\\xe9/1.jpg'"]


@given(st.text() | st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,5})?", fullmatch=True))
def test_a_number_is_only_what_can_be_written_back(text: str) -> None:
    value = guess(text)
    if isinstance(value, int) and not isinstance(value, bool):
        assert str(value) == text or text == "-0"
    if isinstance(value, float):
        assert float(text) == value
