"""Turns products, pictures, filters and vectors into messages of catalog.proto and back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import uuid4

from google.protobuf import struct_pb2
from google.protobuf.message import EncodeError

from lookalike import photo as photos
from lookalike.errors import FieldViolation, InvalidArgument
from lookalike.filters import AllOf, AnyOf, Between, Equals, Filter, Negate, NotEquals, OneOf, Value
from lookalike.money import Money
from lookalike.photo import Photo
from lookalike.types import (
    Box,
    Image,
    Json,
    Page,
    Product,
    UpsertOutcome,
    UpsertResult,
    Vector,
)
from lookalike.v1 import catalog_pb2 as pb

# Whole numbers up to here survive the trip through a double; larger ones stay what arrived.
_WHOLE_MAX = 2**53

_OUTCOMES = {
    pb.UpsertProductResponse.OUTCOME_CREATED: UpsertOutcome.CREATED,
    pb.UpsertProductResponse.OUTCOME_UPDATED: UpsertOutcome.UPDATED,
    pb.UpsertProductResponse.OUTCOME_UNCHANGED: UpsertOutcome.UNCHANGED,
}


@contextmanager
def sendable() -> Iterator[None]:
    """Turn what protobuf refuses to carry (wrong types, numbers out of range, broken text) into InvalidArgument."""
    try:
        yield
    except (TypeError, ValueError, OverflowError, AttributeError, EncodeError) as error:
        raise InvalidArgument(f"a value of the wrong type or range: {error}", reason="INVALID_FIELD") from error


def upsert_request(product: Product, request_id: str | None) -> pb.UpsertProductRequest:
    """Build the request that upserts `product`; reads its photos."""
    message = _product_message(product)
    with sendable():
        return pb.UpsertProductRequest(product=message, request_id=_named(request_id))


def import_request(item_id: str, product: Product, request_id: str | None) -> pb.ImportProductsRequest:
    """Build one item of an import; reads the product's photos."""
    message = _product_message(product)
    with sendable():
        return pb.ImportProductsRequest(item_id=item_id, product=message, request_id=_named(request_id))


def get_request(product_id: str, include_vectors: bool) -> pb.GetProductRequest:
    """Build the request for one product."""
    with sendable():
        return pb.GetProductRequest(product_id=product_id, include_vectors=include_vectors)


def list_request(filter: Filter | None, page_size: int, page_token: str) -> pb.ListProductsRequest:
    """Build the request for one page of products."""
    with sendable():
        return pb.ListProductsRequest(
            page_size=page_size,
            page_token=page_token,
            filter=None if filter is None else filter_message(filter),
        )


def delete_request(product_id: str, request_id: str | None) -> pb.DeleteProductRequest:
    """Build the request that deletes one product."""
    with sendable():
        return pb.DeleteProductRequest(product_id=product_id, request_id=_named(request_id))


def upsert_result(message: pb.UpsertProductResponse) -> UpsertResult:
    """Read what an upsert did."""
    return UpsertResult(
        product=product(message.product),
        outcome=_OUTCOMES.get(message.outcome, UpsertOutcome.UNKNOWN),
        images_embedded=message.images_embedded,
        images_reused=message.images_reused,
    )


def page(message: pb.ListProductsResponse) -> Page:
    """Read one page of products."""
    return Page(tuple(map(product, message.products)), message.next_page_token)


def product(message: pb.Product) -> Product:
    """Read a product."""
    return Product(
        product_id=message.product_id,
        title=message.title,
        category=message.category,
        brand=message.brand,
        price=Money(message.price.amount_minor, message.price.currency_code) if message.HasField("price") else None,
        url=message.url,
        in_stock=message.in_stock if message.HasField("in_stock") else None,
        tags=tuple(message.tags),
        attributes={name: _json(value) for name, value in message.attributes.fields.items()},
        images=tuple(map(_image, message.images)),
    )


def box(message: pb.Box) -> Box:
    """Read a box."""
    return Box(message.left, message.top, message.right, message.bottom)


def box_message(box: Box) -> pb.Box:
    """Build a box."""
    return pb.Box(left=box.left, top=box.top, right=box.right, bottom=box.bottom)


def vector(message: pb.Vector) -> Vector:
    """Read a vector."""
    return Vector(tuple(message.values), message.model)


def vector_message(vector: Vector) -> pb.Vector:
    """Build a vector."""
    return pb.Vector(values=vector.values, model=vector.model)


def filter_message(filter: Filter) -> pb.Filter:
    """Build a filter."""
    equal, not_equal = pb.Filter.Compare.OPERATOR_EQUAL, pb.Filter.Compare.OPERATOR_NOT_EQUAL
    match filter:
        case Equals(field, value):
            return pb.Filter(compare=pb.Filter.Compare(field=field, operator=equal, value=_value(value)))
        case NotEquals(field, value):
            return pb.Filter(compare=pb.Filter.Compare(field=field, operator=not_equal, value=_value(value)))
        case OneOf(field, values):
            return pb.Filter(in_list=pb.Filter.InList(field=field, values=map(_value, values)))
        case Between(field, at_least, at_most):
            return pb.Filter(range=pb.Filter.Range(field=field, at_least=at_least, at_most=at_most))
        case AllOf(filters):
            return pb.Filter(all_of=pb.Filter.AllOf(filters=map(filter_message, filters)))
        case AnyOf(filters):
            return pb.Filter(any_of=pb.Filter.AnyOf(filters=map(filter_message, filters)))
        case Negate(inner):
            return pb.Filter(negate=pb.Filter.Negate(filter=filter_message(inner)))
        case _:  # a caller without a type checker; sent as it is, it would select everything
            raise TypeError(f"a filter is made with equals, all_of and the like, not from {type(filter).__name__}")


def _named(request_id: str | None) -> str:
    """Return the write's own name: the caller's, or a new one. It is made once, however often the write is sent."""
    if request_id == "":  # on the wire, an empty name would look like none
        raise InvalidArgument("request_id is empty: leave it out, or name the write", reason="INVALID_FIELD")
    return uuid4().hex if request_id is None else request_id


def _value(value: Value) -> pb.Filter.Value:
    match value:
        case bool():  # before numbers: a bool is an int
            return pb.Filter.Value(truth=value)
        case str():
            return pb.Filter.Value(text=value)
        case _:
            return pb.Filter.Value(number=value)


def _product_message(product: Product) -> pb.Product:
    images = [_image_message(image, index) for index, image in enumerate(product.images)]
    with sendable():
        message = pb.Product(
            product_id=product.product_id,
            title=product.title,
            category=product.category,
            brand=product.brand,
            url=product.url,
            in_stock=product.in_stock,
            tags=product.tags,
            images=images,
        )
        if product.price is not None:
            message.price.amount_minor = product.price.amount_minor
            message.price.currency_code = product.price.currency
        if product.attributes:
            message.attributes.CopyFrom(_struct(product.attributes))
        return message


def _image_message(image: Image, index: int) -> pb.ProductImage:
    try:
        content = b"" if image.photo is None else _read_picture(image.photo)
    except InvalidArgument as error:
        # The same shape as the server's own refusal of a picture, so that callers look in one place.
        violation = FieldViolation(f"product.images[{index}].content", str(error))
        raise InvalidArgument(str(error), reason=error.reason, field_violations=(violation,)) from error
    with sendable():
        return pb.ProductImage(
            image_id=image.image_id,
            content=content,
            uri=image.uri,
            content_sha256=image.content_sha256,
            box=None if image.box is None else box_message(image.box),
        )


def _read_picture(photo: Photo) -> bytes:
    content = photos.read(photo)
    if not content:  # on the wire, no bytes would look like no picture
        raise InvalidArgument("the picture is empty: it has no bytes", reason="UNSUPPORTED_FORMAT")
    return content


def _image(message: pb.ProductImage) -> Image:
    return Image(
        uri=message.uri,
        image_id=message.image_id,
        content_sha256=message.content_sha256,
        box=box(message.box) if message.HasField("box") else None,
        vector=vector(message.vector) if message.HasField("vector") else None,
    )


def _struct(attributes: Mapping[str, Json]) -> struct_pb2.Struct:
    return struct_pb2.Struct(fields={name: _json_message(value) for name, value in attributes.items()})


def _json_message(value: Json) -> struct_pb2.Value:
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():  # before numbers: a bool is an int
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case Mapping():
            return struct_pb2.Value(struct_value=_struct(value))
        case Sequence():
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=map(_json_message, value)))
        case _:
            raise TypeError(f"an attribute of type {type(value).__name__} is no JSON")


def _json(message: struct_pb2.Value) -> Json:
    match message.WhichOneof("kind"):
        case "bool_value":
            return message.bool_value
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() and abs(number) <= _WHOLE_MAX else number
        case "string_value":
            return message.string_value
        case "struct_value":
            return {name: _json(value) for name, value in message.struct_value.fields.items()}
        case "list_value":
            return [_json(value) for value in message.list_value.values]
        case _:
            return None
