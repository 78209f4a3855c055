"""The description of the API holds: for the routes that there are, and for what a real service answers."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_health.api.routes import DESCRIPTION, Api
from fleet_health.service.publication import Publication
from tests.rig.api_client import ApiClient

if TYPE_CHECKING:
    from fleet_health.api.documents import Documents
    from fleet_health.api.silence_requests import SilenceRequests
    from tests.conftest import Site, StartService

DOCUMENT = json.loads(DESCRIPTION.read_bytes())
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


KNOWN = ("refused", "quiet", "unstamped", "well", "absent", "back", "*")
PARAMETERS = ("host", "state", "limit", "wait", "after", "follow", "dry_run", "x")


def strict(schema: Any) -> Any:
    """Return a schema that allows no other keys than those that it names, so that new keys must be described."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return closed | ({"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {})


SCHEMAS = strict(copy.deepcopy(DOCUMENT["components"]))


def check(document: Any, schema: dict[str, Any]) -> None:
    """Validate a document against a schema of the description."""
    import jsonschema  # noqa: PLC0415 - it takes a second, in each process that collects the tests

    validator = jsonschema.Draft202012Validator(
        {**strict(schema), "components": SCHEMAS}, format_checker=jsonschema.FormatChecker()
    )
    validator.validate(document)


def schema_of(path: str, method: str, status: int, kind: str) -> dict[str, Any]:
    """Return the schema of a response in the description. Fail if it has none for the status."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    response = responses[str(status)] if str(status) in responses else responses["default"]
    assert str(status) in responses or status >= 400
    return cast("dict[str, Any]", response["content"][kind]["schema"])


def test_every_route_is_described() -> None:
    """With its parameters; and nothing else is described."""
    documents = cast("Documents", SimpleNamespace(publication=Publication()))
    api = Api(documents, cast("SilenceRequests", None), request_reload=lambda: None)
    routes = {(route.method, route.path): route.parameters for route in api.routes}
    described = {
        (method.upper(), path): frozenset(
            one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"
        )
        for method, path, operation in OPERATIONS
    }

    assert routes == described


def test_the_description_is_valid() -> None:
    """Each schema is valid, and each reference has a target."""
    import jsonschema  # noqa: PLC0415

    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = {text.split('"')[0] for text in json.dumps(DOCUMENT).split("#/components/schemas/")[1:]}

    assert DOCUMENT["openapi"].startswith("3.1.")
    assert names == set(DOCUMENT["components"]["schemas"])


def test_responses_match_the_description(site: Site, start_service: StartService) -> None:
    """Those of a service with something of everything, to valid and invalid requests."""
    settings_of_site = 'hosts.expected = ["absent"]\nalerts.resolve_after = "1ms"'
    site.configure(settings_of_site)
    site.show_all_symptoms()
    site.upload("back", minutes_ago=50)
    site.sync_journal()
    with start_service(site) as service, ApiClient(site.directory / "control.sock") as client:
        service.until(lambda: ("back", "silent") in site.alerted(), "the alerts")
        site.upload("back")
        while not ask(client, "GET", "/v1/incidents", "/v1/incidents")[1]["ended"]:
            service.until_evaluated_anew()
        # On a busy machine an evaluation is soon overdue by a tick of 100 ms, and /healthz then responds with 503.
        site.configure(settings_of_site, tick="1m")
        service.reload()
        silence = {"hosts": "pi-*", "symptom": None, "for_s": 3_600, "reason": "a test"}
        for body in (silence | {"is_trial": True}, silence, {}):
            ask(client, "POST", "/v1/silences", "/v1/silences", body)
        (made,) = ask(client, "GET", "/v1/silences", "/v1/silences")[1]["silences"]
        good = [
            ("GET", "/healthz"),
            ("GET", "/metrics"),
            ("GET", "/v1/openapi.json"),
            ("GET", "/v1/status"),
            ("GET", "/v1/hosts"),
            ("POST", "/v1/reload"),
        ]
        statuses = [ask(client, method, path, path)[0] for method, path in good]
        statuses.append(ask(client, "POST", "/v1/reload", "/v1/reload?dry_run=true")[0])
        statuses += [ask(client, "GET", "/v1/hosts/{host}", f"/v1/hosts/{host}")[0] for host in KNOWN]
        statuses.append(ask(client, "DELETE", "/v1/silences/{id}", f"/v1/silences/{made['id']}")[0])
        client.request("GET", "/v1/notifications?after=&follow=false")
        notifications = [json.loads(line) for line in client.getresponse().read().splitlines()]

        text = st.text(st.characters(codec="utf-8"), max_size=40)

        @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
        @given(
            st.sampled_from(OPERATIONS),
            text,
            st.dictionaries(st.sampled_from(PARAMETERS), text),
            st.none() | st.dictionaries(st.sampled_from([*silence, "all"]), text | st.integers() | st.booleans()),
        )
        def any_other(operation: Any, part: str, query: dict[str, str], body: Any) -> None:
            method, path, _ = operation
            if path == "/v1/notifications":
                query["follow"] = "false"
            if path == "/changes":
                return  # it has no end
            target = path.partition("{")[0] + (quote(part, safe="") if "{" in path else "")
            parameters = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in query.items())
            status, _ = ask(client, method.upper(), path, f"{target}?{parameters}", body)
            assert status < 500

        any_other()

    assert set(statuses) == {200, 202}
    for row in notifications:
        check(row, DOCUMENT["components"]["schemas"]["Notification"])
    assert {"opening", "resolution"} <= {row["kind"] for row in notifications}


def ask(client: ApiClient, method: str, path: str, target: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Send a request, and validate the response. Return its status and document."""
    client.request(method, target, None if body is None else json.dumps(body))
    response = client.getresponse()
    content, kind = response.read(), response.headers["Content-Type"]
    if kind == "application/jsonl":
        return response.status, None
    if response.status < 400 and not kind.endswith("json"):
        check(content.decode(), schema_of(path, method, response.status, kind))
        return response.status, None
    document: Any = json.loads(content)
    if response.status == 404 and "nothing at this path" in document["detail"]:
        return response.status, document  # an empty part makes it another path
    check(document, schema_of(path, method, response.status, kind))
    return response.status, document
