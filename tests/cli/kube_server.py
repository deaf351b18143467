# SPDX-License-Identifier: Apache-2.0
"""A small API server, for tests of tapio-collect-kubernetes.

It has lists with limit and continue, label and field selectors, watches with
resourceVersion, bookmarks and 410 Gone, discovery, tokens, and TLS. The test
cli.kubernetes-server checks it by Debian's kubectl, so that what it says is not only what
its writer believes an API server to say.

It also misbehaves on demand: `faults` has what the next requests get instead of an answer,
and `cut` says in which pieces the bytes of a watch are sent.
"""
import base64
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

# plural: (group and version, kind, namespaced, short names)
RESOURCES = {
    "pods": ("v1", "Pod", True, ["po"]),
    "nodes": ("v1", "Node", False, ["no"]),
    "events": ("v1", "Event", True, ["ev"]),
    "namespaces": ("v1", "Namespace", False, ["ns"]),
    "deployments": ("apps/v1", "Deployment", True, ["deploy"]),
    "replicasets": ("apps/v1", "ReplicaSet", True, ["rs"]),
    "widgets": ("tapio.test/v1beta1", "Widget", True, ["wd"]),
}
VERBS = ["get", "list", "watch"]


class Store:
    """Objects and the changes of them, as etcd and its watch cache have them."""

    def __init__(self):
        self.changed = threading.Condition()
        self.version = 1000
        self.floor = 0  # changes up to this version are forgotten
        self.objects = {plural: {} for plural in RESOURCES}
        self.changes = []  # (version, plural, type, object)
        self.lists = {}    # by version and plural, for the pages behind the first

    def _note(self, plural, kind, thing):
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.changes.append((self.version, plural, kind, json.loads(json.dumps(thing))))
        self.changed.notify_all()

    def put(self, plural, thing):
        """Adds an object, or replaces the one of that name."""
        version, kind, namespaced, _ = RESOURCES[plural]
        metadata = thing.setdefault("metadata", {})
        if namespaced:
            metadata.setdefault("namespace", "default")
        key = (metadata.get("namespace", ""), metadata["name"])
        with self.changed:
            before = self.objects[plural].get(key)
            metadata.setdefault("uid", before["metadata"]["uid"] if before else
                                f"00000000-0000-4000-8000-{self.version:012x}")
            metadata.setdefault("creationTimestamp", "2024-05-06T07:08:09Z")
            thing = {"apiVersion": version, "kind": kind, **thing}
            self.objects[plural][key] = thing
            self._note(plural, "MODIFIED" if before else "ADDED", thing)
        return thing

    def delete(self, plural, name, namespace="default"):
        """Takes an object away, and tells the watchers."""
        with self.changed:
            namespace = namespace if RESOURCES[plural][2] else ""
            self._note(plural, "DELETED", self.objects[plural].pop((namespace, name)))

    def compact(self):
        """Forgets all changes: a watch from an older version gets 410."""
        with self.changed:
            self.version += 1
            self.floor = self.version
            self.changes.clear()
            self.changed.notify_all()

    def since(self, plural, version):
        """The changes behind a version, or None if they are forgotten; and up to which
        version they are all."""
        with self.changed:
            if version < self.floor:
                return None, self.version
            return [change for change in self.changes
                    if change[0] > version and change[1] == plural], self.version


def lookup(thing, path):
    """A member of a member: "spec.nodeName"."""
    for name in path.split("."):
        thing = thing.get(name, {}) if isinstance(thing, dict) else {}
    return thing if isinstance(thing, str) else ""


def selects(query, thing):
    """Whether the selectors of a request take an object: a=b, a!=b."""
    labels = thing["metadata"].get("labels", {})
    for kind, value in (("labelSelector", lambda key: labels.get(key, "")),
                        ("fieldSelector", lambda key: lookup(thing, key))):
        for term in filter(None, query.get(kind, "").split(",")):
            key, _, wanted = term.partition("=")
            differs = key.endswith("!")
            if (value(key.rstrip("!")) == wanted.lstrip("=")) == differs:
                return False
    return True


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "tapio-test"

    def log_message(self, *_):
        pass

    # ---- answers -------------------------------------------------------------

    def answer(self, code, thing, headers=()):
        """One whole answer."""
        body = thing if isinstance(thing, bytes) else json.dumps(thing).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def status(self, code, reason, message, headers=()):
        """A failure, as API servers tell it."""
        self.answer(code, {"kind": "Status", "apiVersion": "v1", "metadata": {},
                           "status": "Failure", "message": message, "reason": reason,
                           "code": code}, headers)

    def chunk(self, data):
        """A piece of a watch."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def send_cut(self, data):
        """The bytes of an event, in pieces of the sizes that `cut` gives."""
        at, sizes = 0, self.server.api.cut
        while at < len(data):
            size = sizes(at) if sizes else len(data)
            self.chunk(data[at:at + size])
            at += size

    # ---- requests ------------------------------------------------------------

    def do_GET(self):  # pylint: disable=invalid-name
        """Any request."""
        api = self.server.api
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with api.lock:
            api.requests.append((time.monotonic(), url.path, query,
                                 self.headers.get("Authorization", "")))
            want = "watch" if query.get("watch") in ("1", "true") else "list"
            fault = None
            if url.path.split("/")[-1] in RESOURCES:
                fault = next((f for f in api.faults if f[0] in (want, "any")), None)
            if fault:
                api.faults.remove(fault)
        if fault:
            fault[1](self, query)
            return
        if api.tokens and self.headers.get("Authorization") not in [
                "Bearer " + token for token in api.tokens]:
            self.status(401, "Unauthorized", "Unauthorized")
            return
        self.route(url.path, query)

    def route(self, path, query):
        """Discovery, lists, watches, and single objects."""
        parts = path.strip("/").split("/")
        if path in ("/api", "/apis") or path in self.server.api.discovery():
            self.answer(200, self.server.api.discovery()[path])
            return
        # api/v1/... or apis/GROUP/VERSION/..., perhaps namespaces/NAME/...
        version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = None
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        if not rest or RESOURCES.get(rest[0], ("",))[0] != version:
            self.status(404, "NotFound", "the server could not find it")
        elif len(rest) > 1:
            self.one(rest[0], namespace or "", rest[1])
        elif query.get("watch") in ("1", "true"):
            self.watch(rest[0], namespace, query)
        else:
            self.list(rest[0], namespace, query)

    def one(self, plural, namespace, name):
        """GET of a single object."""
        thing = self.server.api.store.objects[plural].get((namespace, name))
        if thing:
            self.answer(200, thing)
        else:
            self.status(404, "NotFound", f'{plural} "{name}" not found')

    def list(self, plural, namespace, query):
        """A page of a list. Its token says from which version and place it goes on."""
        store = self.server.api.store
        with store.changed:
            version, start = store.version, 0
            if query.get("continue"):
                token = json.loads(base64.b64decode(query["continue"]))
                version, start = token["v"], token["s"]
            gone = version < store.floor
            things = store.lists.get((version, plural)) if start else \
                sorted(store.objects[plural].items())
            things = store.lists[version, plural] = json.loads(json.dumps(things or []))
            things = [thing for key, thing in things
                      if (namespace is None or key[0] == namespace)
                      and selects(query, thing)]
        if gone:
            self.status(410, "Expired", "The provided continue parameter is too old")
            return
        limit = int(query.get("limit", 0)) or len(things)
        metadata = {"resourceVersion": str(version)}
        if start + limit < len(things):
            token = json.dumps({"v": version, "s": start + limit}).encode()
            metadata["continue"] = base64.b64encode(token).decode()
            metadata["remainingItemCount"] = len(things) - start - limit
        group_version, kind = RESOURCES[plural][:2]
        for thing in things:  # as a server writes a typed list
            thing.pop("kind", None)
            thing.pop("apiVersion", None)
        self.answer(200, {"kind": kind + "List", "apiVersion": group_version,
                          "metadata": metadata, "items": things[start:start + limit]})

    # ---- watches -------------------------------------------------------------

    def begin_watch(self):
        """The headers of a watch come at once."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def event(self, kind, thing):
        """One event of a watch, in a line."""
        self.send_cut(json.dumps({"type": kind, "object": thing},
                                 ensure_ascii=self.server.api.ascii).encode() + b"\n")

    def gone(self):
        """As the watch cache tells it: within the stream."""
        self.event("ERROR", {"kind": "Status", "apiVersion": "v1", "metadata": {},
                             "status": "Failure", "message": "too old resource version",
                             "reason": "Expired", "code": 410})

    def bookmark(self, plural, version):
        """Where a watch may go on, though nothing has changed."""
        group_version, kind = RESOURCES[plural][:2]
        self.event("BOOKMARK", {"kind": kind, "apiVersion": group_version,
                                "metadata": {"resourceVersion": str(version),
                                             "creationTimestamp": None}})

    def watch(self, plural, namespace, query):
        """All changes since a version, until the time is over or the server ends."""
        api = self.server.api
        end = time.monotonic() + float(query.get("timeoutSeconds", 60))
        version = int(query.get("resourceVersion") or api.store.version)
        marks = query.get("allowWatchBookmarks") in ("1", "true")
        marked = version
        self.begin_watch()
        with api.lock:
            api.watchers.add(self.connection)
        try:
            while time.monotonic() < end and not api.closing:
                changes, now = api.store.since(plural, version)
                if changes is None:
                    self.gone()
                    break
                for version, _, kind, thing in changes:
                    if (namespace is None or thing["metadata"]["namespace"] == namespace) \
                            and selects(query, thing):
                        self.event(kind, thing)
                if marks and api.bookmarks and now > marked:
                    self.bookmark(plural, now)
                    version = marked = now
                with api.store.changed:
                    if api.store.version == now:
                        api.store.changed.wait(0.05)
            self.chunk(b"")
        finally:
            with api.lock:
                api.watchers.discard(self.connection)


class Server(http.server.ThreadingHTTPServer):
    """Threads that do not hold the test up at its end."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that left


class Api:
    """A server that can be stopped, and started again at the same port."""

    def __init__(self, store=None, certificate=None, client_ca=None):
        self.store = store or Store()
        self.lock = threading.Lock()
        self.requests = []  # (when, path, query, Authorization)
        self.faults = []    # ("list" | "watch" | "any", function(handler, query))
        self.tokens = []    # those that count. None: no token is needed
        self.watchers = set()
        self.bookmarks = True
        self.ascii = True
        self.cut = None
        self.closing = False
        self.certificate, self.client_ca = certificate, client_ca
        self.port = 0
        self.start()

    def start(self):
        """Listens, at the port that it had before."""
        self.closing = False
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.api = self
        self.port = self.server.server_address[1]
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            # The handshake is for the connection's thread: a client may never make it.
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,),
                         daemon=True).start()

    def stop(self):
        """Ends as a server that is killed: connections are cut."""
        self.closing = True
        self.server.shutdown()
        self.server.server_close()
        self.cut_watches()

    def cut_watches(self):
        """Cuts the connections of all watches, in the middle of what they send."""
        with self.lock:
            watchers = list(self.watchers)
        for connection in watchers:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @property
    def url(self):
        """Its address."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @staticmethod
    def discovery():
        """Which groups, versions and resources there are, by path."""
        pages = {"/api": {"kind": "APIVersions", "versions": ["v1"]}}
        groups = {}
        for plural, (version, kind, namespaced, short) in RESOURCES.items():
            path = ("/apis/" if "/" in version else "/api/") + version
            page = pages.setdefault(path, {
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
                "resources": []})
            page["resources"].append({
                "name": plural, "singularName": kind.lower(), "namespaced": namespaced,
                "kind": kind, "verbs": VERBS, "shortNames": short})
            page["resources"].append({
                "name": plural + "/status", "singularName": "", "namespaced": namespaced,
                "kind": kind, "verbs": ["get"]})
            if "/" in version:
                group, number = version.split("/")
                groups[group] = {"name": group, "versions": [
                    {"groupVersion": version, "version": number}],
                    "preferredVersion": {"groupVersion": version, "version": number}}
        pages["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1",
                          "groups": list(groups.values())}
        for group, page in groups.items():
            pages["/apis/" + group] = {"kind": "APIGroup", "apiVersion": "v1", **page}
        return pages


# ---- misbehaviour, for Api.faults --------------------------------------------------

def refuse(code, reason="InternalError", message="it broke", headers=()):
    """An error, as a server tells it."""
    return lambda handler, query: handler.status(code, reason, message, headers)


def say(body, code=200):
    """Any bytes, as a whole answer."""
    return lambda handler, query: handler.answer(code, body)


def stream(*pieces, end=True):
    """A watch of any bytes. Without an end the connection is cut behind them."""
    def fault(handler, _):
        handler.begin_watch()
        for piece in pieces:
            handler.chunk(piece)
        if end:
            handler.chunk(b"")
        handler.close_connection = True
    return fault


def hang(seconds, headers=False):
    """Nothing, for a while: before the headers or behind them."""
    def fault(handler, _):
        if headers:
            handler.begin_watch()
        time.sleep(seconds)
        handler.close_connection = True
    return fault


def drop():
    """The connection ends without an answer."""
    def fault(handler, _):
        handler.close_connection = True
    return fault
