"""Turns searches, detections and embeddings into messages of search.proto and back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lookalike import photo as photos
from lookalike.errors import InvalidArgument
from lookalike.filters import Filter
from lookalike.photo import Photo
from lookalike.types import (
    Box,
    Coverage,
    Detection,
    DetectResult,
    Drops,
    EmbedResult,
    Explanation,
    Hit,
    Match,
    MissingKind,
    MissingShard,
    Point,
    Region,
    RegionSource,
    SearchResult,
    ShardExplanation,
    Timings,
    Vector,
)
from lookalike.v1 import search_pb2 as pb
from lookalike.wire import catalog

Looking = TypeVar("Looking", pb.SearchRequest, pb.DetectRequest, pb.EmbedRequest)

_SOURCES = {
    pb.Region.SOURCE_BOX: RegionSource.BOX,
    pb.Region.SOURCE_POINT: RegionSource.POINT,
    pb.Region.SOURCE_WHOLE_IMAGE: RegionSource.WHOLE_IMAGE,
    pb.Region.SOURCE_DETECTION: RegionSource.DETECTION,
    pb.Region.SOURCE_WHOLE_IMAGE_MATCHED_BETTER: RegionSource.WHOLE_IMAGE_MATCHED_BETTER,
    pb.Region.SOURCE_NOTHING_DETECTED: RegionSource.NOTHING_DETECTED,
}
_MATCHES = {
    pb.Hit.MATCH_UNSPECIFIED: Match.UNKNOWN,
    pb.Hit.MATCH_SAME: Match.SAME,
    pb.Hit.MATCH_SIMILAR: Match.SIMILAR,
    pb.Hit.MATCH_WEAK: Match.WEAK,
    pb.Hit.MATCH_NONE: Match.NONE,
}
_LEVELS = {level: number for number, level in _MATCHES.items()}
_KINDS = {
    pb.Coverage.Reason.KIND_TIMED_OUT: MissingKind.TIMED_OUT,
    pb.Coverage.Reason.KIND_UNREACHABLE: MissingKind.UNREACHABLE,
    pb.Coverage.Reason.KIND_FAILED: MissingKind.FAILED,
    pb.Coverage.Reason.KIND_REFUSED: MissingKind.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What to look at: exactly one field is set, else the message would silently keep only one."""

    photo: Photo | None = None
    image_token: str | None = None
    product_id: str | None = None
    vector: Vector | Iterable[float] | None = None

    def __post_init__(self) -> None:
        fields = {
            "photo": self.photo,
            "image_token": self.image_token,
            "product_id": self.product_id,
            "vector": self.vector,
        }
        _one_at_most(fields)
        if all(value is None for value in fields.values()):
            raise InvalidArgument("nothing to look at: give a photo", reason="INVALID_FIELD")


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a picture to look at: at most one field is set; none lets the server detect."""

    box: Box | None = None
    point: Point | None = None
    whole_image: bool = False

    def __post_init__(self) -> None:
        _one_at_most({"box": self.box, "point": self.point, "whole_image": self.whole_image or None})


@dataclass(frozen=True, slots=True)
class Scope:
    """Which products to return, and how many."""

    limit: int | None = None
    offset: int = 0
    filter: Filter | None = None
    score_min: float | None = None
    match_min: Match | None = None
    coverage_min: float = 0.0


def search_request(subject: Subject, part: Part, scope: Scope, explain: bool = False) -> pb.SearchRequest:
    """Build a search; reads the photo."""
    with catalog.sendable():
        message = pb.SearchRequest(
            vector=None if subject.vector is None else catalog.vector_message(_as_vector(subject.vector)),
            box=None if part.box is None else catalog.box_message(part.box),
            point=_point_message(part.point),
            whole_image=pb.WholeImage() if part.whole_image else None,
            limit=scope.limit,
            offset=scope.offset,
            filter=None if scope.filter is None else catalog.filter_message(scope.filter),
            score_min=scope.score_min,
            match_min=_LEVELS[Match(scope.match_min or Match.UNKNOWN)],
            coverage_min=scope.coverage_min,
            explain=explain,
        )
        if subject.product_id is not None:
            message.product_id = subject.product_id
        return _look_at(message, subject)


def stream_request(item_id: str, photo: Photo, part: Part, scope: Scope) -> pb.SearchStreamRequest:
    """Build one search of many; reads the photo."""
    return pb.SearchStreamRequest(item_id=item_id, search=search_request(Subject(photo), part, scope))


def detect_request(subject: Subject) -> pb.DetectRequest:
    """Build the request that finds products in a picture; reads the photo."""
    with catalog.sendable():
        return _look_at(pb.DetectRequest(), subject)


def embed_request(subject: Subject, part: Part) -> pb.EmbedRequest:
    """Build the request that embeds a picture; reads the photo."""
    with catalog.sendable():
        message = pb.EmbedRequest(
            box=None if part.box is None else catalog.box_message(part.box),
            point=_point_message(part.point),
            whole_image=pb.WholeImage() if part.whole_image else None,
        )
        return _look_at(message, subject)


def search_result(message: pb.SearchResponse) -> SearchResult:
    """Read what a search found."""
    return SearchResult(
        search_id=message.search_id,
        hits=tuple(map(_hit, message.hits)),
        detections=tuple(map(_detection, message.detections)),
        searched=_region(message.searched) if message.HasField("searched") else None,
        coverage=_coverage(message.coverage),
        timings=_timings(message.timings),
        image_token=message.image_token,
        model=message.model,
        explanation=_explanation(message.explanation) if message.HasField("explanation") else None,
        nothing_alike=message.nothing_alike,
    )


def detect_result(message: pb.DetectResponse) -> DetectResult:
    """Read the products seen in a picture."""
    return DetectResult(
        detections=tuple(map(_detection, message.detections)),
        width_px=message.width_px,
        height_px=message.height_px,
        image_token=message.image_token,
        model=message.model,
        timings=_timings(message.timings),
    )


def embed_result(message: pb.EmbedResponse) -> EmbedResult:
    """Read an embedding."""
    return EmbedResult(
        vector=catalog.vector(message.vector),
        embedded=_region(message.embedded),
        image_token=message.image_token,
        timings=_timings(message.timings),
    )


def _look_at(message: Looking, subject: Subject) -> Looking:
    if subject.photo is not None:
        message.image = photos.read(subject.photo)
    if subject.image_token is not None:
        message.image_token = subject.image_token
    return message


def _one_at_most(fields: Mapping[str, object]) -> None:
    given = [name for name, value in fields.items() if value is not None]
    if len(given) > 1:
        raise InvalidArgument(
            f"give only one of {', '.join(fields)}, not {' and '.join(given)}", reason="INVALID_FIELD"
        )


def _as_vector(vector: Vector | Iterable[float]) -> Vector:
    return vector if isinstance(vector, Vector) else Vector(tuple(vector))


def _point_message(point: Point | None) -> pb.Point | None:
    return None if point is None else pb.Point(x=point.x, y=point.y)


def _detection(message: pb.Detection) -> Detection:
    return Detection(catalog.box(message.box), message.score, message.label)


def _region(message: pb.Region) -> Region:
    return Region(catalog.box(message.box), _SOURCES.get(message.source, RegionSource.UNKNOWN))


def _hit(message: pb.Hit) -> Hit:
    return Hit(
        product=catalog.product(message.product),
        image_id=message.image_id,
        score=message.score,
        images_matched=message.images_matched,
        match=_MATCHES.get(message.match, Match.UNKNOWN),
        same_probability=message.same_probability,
    )


def _coverage(message: pb.Coverage) -> Coverage:
    reasons = {reason.shard: reason for reason in message.reasons}
    return Coverage(
        shards_asked=message.shards_asked,
        shards_answered=message.shards_answered,
        slots_fraction=message.slots_fraction,
        missing=tuple(_missing(shard, reasons.get(shard)) for shard in message.unreachable),
        behind=tuple(message.behind),
        map_may_be_stale=message.map_may_be_stale,
    )


def _missing(shard: str, reason: pb.Coverage.Reason | None) -> MissingShard:
    if reason is None:
        return MissingShard(shard, MissingKind.UNKNOWN, "")
    return MissingShard(shard, _KINDS.get(reason.kind, MissingKind.UNKNOWN), reason.message)


def _explanation(message: pb.Explanation) -> Explanation:
    return Explanation(tuple(map(_shard_explanation, message.shards)))


def _shard_explanation(message: pb.ShardExplanation) -> ShardExplanation:
    drops = message.drops
    return ShardExplanation(
        shard=message.shard,
        replica=message.replica,
        ms=message.ms,
        rows=message.rows,
        drops=Drops(drops.not_owner, drops.older_version, drops.same_product),
        hedge=message.hedge,
        retry=message.retry,
        rounds=message.rounds,
        message=message.message,
    )


def _timings(message: pb.Timings) -> Timings:
    return Timings(
        queue_ms=message.queue_ms,
        decode_ms=message.decode_ms,
        detect_ms=message.detect_ms,
        embed_ms=message.embed_ms,
        search_ms=message.search_ms,
        total_ms=message.total_ms,
    )
