"""gdl explore --serve: who may use the server, what it computes, and how it ends."""

import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from small_runs import ROOT

from gdl.capabilities import Incapable
from gdl.commands.explore import explore
from gdl.commands.overrides import with_serve
from gdl.commands.values import check_values
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.explorer import Subject
from gdl.explorer.served import LIMIT, VECTORS, Served
from gdl.explorer.server import BODY_LIMIT, PageServer
from gdl.explorer.wire import packed_tensors, read_tensors
from gdl.explorer.writer import page_of
from gdl.models import MADE, VAE, Autoencoder, DenoisingAutoencoder, Gaussian, Glow
from gdl.runs.checkpoints import open_run
from gdl.runs.directory import Run

SHAPE, LEVELS = (1, 8, 8), 17
MODELS = {
    "glow": lambda: Glow(SHAPE, LEVELS, depth=2, width=8),
    "vae": lambda: VAE(SHAPE, LEVELS, latent_dim=4),
    "conditional_vae": lambda: VAE(SHAPE, LEVELS, latent_dim=4, num_classes=10),
    "label_dropout": lambda: VAE(SHAPE, LEVELS, latent_dim=4, num_classes=9, label_dropout=0.1),
    "ae": lambda: Autoencoder(SHAPE, LEVELS, latent_dim=2),
}


def perturbed(model):
    """Return a model in eval mode with other weights than at its start, where flows do nothing."""
    torch.manual_seed(0)
    if hasattr(model, "initialize"):
        model.initialize(torch.randint(0, LEVELS, (64, *SHAPE), dtype=torch.uint8))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return model.eval()


@pytest.fixture(scope="module")
def data():
    found = Digits(shape=SHAPE, levels=LEVELS)
    found.prepare_data()
    return found


@pytest.fixture(scope="module")
def serve(data, tmp_path_factory):
    """A function that serves a model and returns its server; each once for all tests."""
    servers, threads = {}, []

    def serve(name):
        if name not in servers:
            model = perturbed(MODELS[name]())
            subject = Subject(Run(tmp_path_factory.mktemp(name)), model, data, points=20)
            served, server = Served(model), PageServer()
            args = *page_of(subject, served.programs), served
            threads.append(threading.Thread(target=server.serve, args=args, daemon=True))
            threads[-1].start()
            servers[name] = server
        return servers[name]

    yield serve
    for server in servers.values():
        server.shutdown()
    for thread in threads:
        thread.join(10)


def ask(server, method="GET", place="", body=None, token=None, **headers):
    """Return status, body and headers of a request; `Host` and the like replace a browser's own."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    path = f"/{server.token if token is None else token}/{place}"
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return SimpleNamespace(status=answer.status, body=answer.read(), headers=answer.headers)
    finally:
        connection.close()


def run(server, program, **tensors):
    answer = ask(server, "POST", f"run/{program}", packed_tensors(tensors))
    assert answer.status == 200, answer.body
    return read_tensors(answer.body)


def labels_of(model, n):
    return {"y": (torch.arange(n) + 5) % 10} if model.num_classes else {}


def same(found, own):
    """Whether two tensors agree; the server's threads may sum in another order."""
    return torch.allclose(found, own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_programs_compute_what_the_model_does(name, serve):
    server = serve(name)
    model, x = server.model.model, torch.randint(0, LEVELS, (5, *SHAPE), dtype=torch.uint8)
    z, labels = torch.randn(5, *model.latent_shape), labels_of(server.model.model, 5)
    y = [torch.where(v < model.num_classes, v, -1) for v in labels.values()]
    with torch.inference_mode():
        assert same(run(server, "decode", z=z, **labels)["image"], model.decode(z, *y))
        code = run(server, "encode", x=x.float(), **labels)
        assert same(code["mean"], model.encode(x, *y))
        assert ("log_std" in code) == ("distortion" in server.programs) == isinstance(model, VAE)
        if isinstance(model, VAE):
            assert same(code["log_std"], model.posterior(x, *y)[1])
            (nats,) = run(server, "distortion", x=x.float(), z=z, **labels).values()
            assert same(nats, -model.log_joint(x, z, *y)[0])
    if name == "glow":
        (nats,) = run(server, "log_prob", x=x.float()).values()
        assert nats.shape == (5,)
        assert torch.isfinite(nats).all()


def test_many_images_come_back_in_order(serve):
    server = serve("vae")
    z = torch.randn(250, 4)
    with torch.inference_mode():
        own = server.model.model.decode(z)
    assert torch.allclose(run(server, "decode", z=z)["image"], own, atol=1e-4)


def test_the_page_has_no_weights_and_headers_that_keep_it_to_itself(serve):
    server = serve("glow")
    page = ask(server)
    text = page.body.decode()
    content = json.loads(text.partition('id="content">')[2].partition("</script>")[0])
    assert content["weights"] == []
    assert set(content["programs"]) == {"encode", "decode", "log_prob"}
    for part in ("connect-src 'self'", "default-src 'none'"):
        assert part in page.headers["Content-Security-Policy"]
        assert part in text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for answer in (page, ask(server, place="x"), ask(server, "POST", "run/decode", b"")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Access-Control-Allow-Origin"] is None


ELSEWHERE = ["x", "run", "run/", "run/decode", "run/../", "%2e%2e/", "../", "page.html", "?a", "/"]


def test_who_lacks_the_token_or_comes_from_elsewhere_learns_nothing(serve):
    server = serve("vae")
    here, body = f"127.0.0.1:{server.server_port}", packed_tensors({"z": torch.zeros(1, 4)})
    assert ask(server).status == ask(server, "POST", "run/decode", body).status == 200
    assert ask(server, "POST", "run/decode", body, Origin=f"http://{here}").status == 200
    refused = [ask(server, place=place) for place in ELSEWHERE]
    refused += [
        ask(server, m) for m in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X")
    ]
    for token in ("", "x", server.token[:-1], server.token + "x", "%", "%C3%A4"):
        refused.append(ask(server, token=token))
        refused.append(ask(server, "POST", "run/decode", body, token=token))
    for host in (
        "evil.example",
        f"evil.example:{server.server_port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "",
    ):
        refused.append(ask(server, Host=host))
        refused.append(ask(server, "POST", "run/decode", body, Host=host))
    for origin in ("null", "http://evil.example", f"https://{here}", "http://127.0.0.1:1", ""):
        refused.append(ask(server, "POST", "run/decode", body, Origin=origin))
    refused += [
        ask(server, "POST", f"run/{p}", body) for p in ("", "other", "decode/", "__init__")
    ]
    for answer in refused:
        assert (answer.status, answer.body) == (404, b"")
        assert "gdl" not in str(answer.headers)
    assert ask(server, "HEAD").status == 404
    for line in ("GET /ä/ HTTP/1.1", "GET / HTTP/9.9", "GET /", "x", "", "GET " + "/" * 70_000):
        with socket.create_connection(server.server_address[:2], timeout=10) as s:
            s.sendall(f"{line}\r\nHost: {here}\r\n\r\n".encode())
            assert b"gdl" not in s.makefile("rb").read()
    for hosts in ("", f"Host: {here}\r\nHost: evil.example\r\n"):
        with socket.create_connection(server.server_address[:2], timeout=10) as s:
            s.sendall(f"GET /{server.token}/ HTTP/1.1\r\n{hosts}\r\n".encode())
            assert s.makefile("rb").readline().split()[1] == b"404"
    assert ask(server).status == 200


def test_it_listens_on_this_machine_only(serve):
    server = serve("vae")
    assert not server.is_open
    others = {a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for other in {"127.0.0.2", *others} - {"127.0.0.1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, server.server_port), timeout=5).close()


def bytes_of(header, numbers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + numbers


def tensor(**changes):
    return {"name": "z", "shape": [1, 4]} | changes


Z = b"\0" * 16
BROKEN = {
    "nothing": b"",
    "three bytes": b"abc",
    "a header that does not end": struct.pack("<I", 2**32 - 1) + b"[]",
    "a long header": bytes_of(b" " * 20_000 + b"[]"),
    "no JSON": bytes_of(b"{"),
    "no text": bytes_of(b"\xff\xfe"),
    "a deep header": bytes_of(b"[" * 9_000),
    "no list": bytes_of({"name": "z"}),
    "a number": bytes_of(3),
    "no name": bytes_of([{"shape": [1, 4]}], Z),
    "a name that is no text": bytes_of([tensor(name=[1])], Z),
    "no shape": bytes_of([{"name": "z"}], Z),
    "a negative shape": bytes_of([tensor(shape=[-1, -4])], Z),
    "a shape of fractions": bytes_of([tensor(shape=[1.0, 4.0])], Z),
    "a shape of truths": bytes_of([tensor(shape=[True, 4])], Z),
    "a huge shape": bytes_of([tensor(shape=[2**31 - 1] * 8)], Z),
    "a shape without end": bytes_of([tensor(shape=[1] * 1000)], Z),
    "no numbers": bytes_of([tensor()]),
    "too few numbers": bytes_of([tensor()], Z[:-1]),
    "too many numbers": bytes_of([tensor()], Z + b"\0"),
    "one name twice": bytes_of([tensor(), tensor()], Z + Z),
    "another input": bytes_of([tensor(name="w")], Z),
    "another shape": bytes_of([tensor(shape=[4])], Z),
    "no image": bytes_of([tensor(shape=[0, 4])]),
    "one number": bytes_of([tensor(shape=[])], Z[:4]),
    "too many images": bytes_of([tensor(shape=[LIMIT + 1, 4])], Z * (LIMIT + 1)),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_request_gets_a_sentence_and_the_server_goes_on(body, serve, capfd):
    server = serve("vae")
    answer = ask(server, "POST", "run/decode", body)
    assert answer.status == 400
    sentence = answer.body.decode()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert run(server, "decode", z=torch.zeros(1, 4))["image"].shape == (1, *SHAPE)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("length", ["", "-1", "abc", "1e3", "٣", "1" * 30, str(BODY_LIMIT + 1)])
def test_a_length_that_is_none_or_too_large_is_refused_before_the_body(length, serve):
    server = serve("vae")
    with socket.create_connection(server.server_address[:2], timeout=10) as s:
        head = (
            f"POST /{server.token}/run/decode HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
        )
        head += f"Content-Length: {length}\r\n" if length else ""
        s.sendall(f"{head}\r\n".encode())
        status = s.makefile("rb").readline().split()[1]
    assert status == (b"413" if length == str(BODY_LIMIT + 1) else b"400")
    assert ask(server).status == 200


def test_labels_and_images_that_are_none_are_refused_or_brought_to_the_models_values(serve):
    server = serve("conditional_vae")
    z = torch.full((2, 4), torch.inf)
    for y in ([10.0, 0.0], [-1.0, 0.0], [torch.nan, 0.0], [torch.inf, 0.0]):
        body = packed_tensors({"z": z, "y": torch.tensor(y)})
        assert ask(server, "POST", "run/decode", body).status == 400
    assert ask(server, "POST", "run/decode", packed_tensors({"z": z})).status == 400
    assert run(server, "decode", z=z, y=torch.zeros(2))["image"].shape == (2, *SHAPE)
    other = serve("label_dropout")  # 9 classes, and one for none
    for y, status in ((9, 200), (10, 400), (-1, 400)):
        body = packed_tensors({"z": torch.zeros(1, 4), "y": torch.tensor([y])})
        assert ask(other, "POST", "run/decode", body).status == status
    x = torch.tensor([torch.nan, torch.inf, -torch.inf, -3.2, 300.4, 2.6]).repeat(11)[:64]
    x = x.reshape(1, *SHAPE)
    whole = torch.tensor([0, 16, 0, 0, 16, 3]).repeat(11)[:64].reshape(x.shape).float()
    found = [run(server, "encode", x=v, y=torch.zeros(1))["mean"] for v in (x, whole)]
    assert torch.equal(*found)


def test_a_model_that_fails_says_so_without_its_traceback(serve, capfd, monkeypatch):
    server = serve("ae")

    def fail(*_):
        raise RuntimeError("a secret of the machine")

    with monkeypatch.context() as m:
        m.setattr(server.model.model, "decode", fail)
        answer = ask(server, "POST", "run/decode", packed_tensors({"z": torch.zeros(1, 2)}))
    assert answer.status == 500
    assert "secret" not in answer.body.decode()
    assert capfd.readouterr().err.count("a secret of the machine") == 1
    assert run(server, "decode", z=torch.zeros(1, 2))


def test_several_tabs_are_answered_each_with_its_own(serve):
    server = serve("glow")
    codes = [torch.randn(3, 64) for _ in range(12)]
    found = [None] * len(codes)

    def decode(i):
        found[i] = run(server, "decode", z=codes[i])["image"]

    threads = [threading.Thread(target=decode, args=[i]) for i in range(len(codes))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    with torch.inference_mode():
        for z, image in zip(codes, found, strict=True):
            assert same(image, server.model.model.decode(z))


def test_a_slow_client_is_left_and_others_are_served_meanwhile(serve, monkeypatch):
    monkeypatch.setattr("gdl.explorer.server.PATIENCE", 0.5)
    server = serve("vae")
    with socket.create_connection(server.server_address[:2], timeout=10) as slow:
        slow.sendall(f"POST /{server.token}/run/decode HTTP/1.1\r\n".encode())
        assert ask(server).status == 200
        began, gone = time.monotonic(), False
        while not gone and time.monotonic() - began < 8:
            time.sleep(0.1)  # a byte at a time, which no limit on each read would end
            try:
                slow.sendall(b"a")
                slow.setblocking(False)
                gone = slow.recv(1) == b""
            except BlockingIOError:
                pass
            except OSError:
                gone = True
            slow.settimeout(10)
        assert gone
    assert ask(server).status == 200


def test_a_model_with_neither_latents_nor_samples_is_refused():
    with pytest.raises(Incapable, match="latents, which DenoisingAutoencoder lacks"):
        Served(DenoisingAutoencoder(SHAPE, LEVELS))


SAMPLERS = {
    "plain": lambda: MADE(SHAPE, LEVELS, hidden=(20,)),
    "conditional": lambda: MADE(SHAPE, LEVELS, hidden=(20,), num_classes=10, label_dropout=0.1),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_without_latents_draws_samples(name, data, tmp_path, chromium):
    model = perturbed(SAMPLERS[name]())
    served, server = Served(model), PageServer()
    page = page_of(Subject(Run(tmp_path), model, data), served.programs)
    thread = threading.Thread(target=server.serve, args=(*page, served), daemon=True)
    thread.start()
    tab, wrong = chromium.new_page(), []
    tab.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    tab.goto(server.address)
    tab.wait_for_selector("#samples canvas >> nth=0")
    label = 3 if model.num_classes else None
    if label is not None:
        tab.check(f"#samples input[value='{label}']", force=True)
    tab.fill("#samples input[type=number]", "7")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#code:has-text('sample 1 of seed 7')")
    tab.click("#samples [aria-label='Sample 2']")
    shown = torch.tensor(tab.evaluate("() => [...app.image.data]"))
    own = model.sample(16, seed=7, **({} if label is None else {"label": label}))
    assert torch.equal(shown, own[1].flatten().float())
    for text in ("", "-1", "1.5", "16777216"):
        tab.fill("#samples input[type=number]", text)
        tab.keyboard.press("Enter")
        assert tab.input_value("#samples input[type=number]") == "7", "the last seed comes back"
        assert "from 0 to 16777215" in tab.inner_text("#samples [role=status]")
    assert [text for text in wrong if "willReadFrequently" not in text] == []
    tab.close()
    server.shutdown()
    thread.join(10)
    for wrong_input in ([0, 1], [-1], [float("nan")]):
        inputs = {"seed": torch.tensor(wrong_input), "temperature": torch.ones(len(wrong_input))}
        labels = {"y": torch.zeros(len(wrong_input))} if model.num_classes else {}
        with pytest.raises(GdlError, match="one seed"):
            served.run("sample", inputs | labels)


def test_a_slow_model_has_fewer_points(data):
    served = Served(perturbed(MODELS["glow"]()))
    x = data.images("test")[:200]
    assert served.points_in(1e9, x) == 200
    assert served.points_in(0, x) == 10


def test_an_interface_or_port_that_cannot_be_had_is_a_sentence(serve):
    server = serve("vae")
    with pytest.raises(GdlError, match="is in use"):
        PageServer(port=server.server_port)
    for host in ("203.0.113.7", "no.such.host.invalid", "1.2.3.4.5", "a" * 300):
        with pytest.raises(GdlError, match="no interface of this machine"):
            PageServer(host)


def test_other_interfaces_only_where_they_are_named():
    if socket.has_ipv6:
        with PageServer("::1") as server:
            assert server.address.startswith(f"http://[::1]:{server.server_port}/")
            assert not server.is_open
    with PageServer("0.0.0.0") as server:
        assert server.is_open
        assert server.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("name", ["glow", "conditional_vae"])
def test_the_page_decodes_what_the_model_does(name, serve, chromium, data, tmp_path):
    server, wrong = serve(name), []
    tab = chromium.new_page()
    tab.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    own = (server.address, "data:", "blob:")
    tab.on("request", lambda r: None if r.url.startswith(own) else wrong.append(r.url))
    tab.goto(server.address)
    tab.wait_for_selector("html[data-ready]")
    model = server.model.model
    labels = labels_of(model, 2)
    for i, z in enumerate(torch.randn(2, *model.latent_shape)):
        y = [v[i : i + 1].long() for v in labels.values()]
        tab.evaluate(
            "([z, y]) => app.set({z, y})", [z.tolist(), *(y[0].tolist() if y else [None])]
        )
        shown = torch.tensor(tab.evaluate("() => [...app.image.data]"))
        with torch.inference_mode():
            assert torch.allclose(shown, model.decode(z[None], *y).flatten(), atol=1e-4)
    x = torch.randint(0, LEVELS, (2, *SHAPE)).float()
    script = """async ([shape, data, n]) => {
        const x = {shape, data: Float32Array.from(data)};
        return [...(await app.model.run("encode", {x, ...app.labels(n)})).mean.data];
    }"""
    code = torch.tensor(tab.evaluate(script, [[*x.shape], x.flatten().tolist(), 2]))
    y = [v[1].expand(2) for v in labels.values()]  # the class that was set last
    with torch.inference_mode():
        assert torch.allclose(code, model.encode(x.to(torch.uint8), *y).flatten(), atol=1e-4)
    if name == "glow":  # what a flow says of a test image on the canvas
        tab.click("#canvas [data-do=test]")
        tab.wait_for_selector("#canvas .numbers dd:nth-of-type(2):has-text('bits/dim')")
        nats = float(tab.inner_text("#canvas .numbers dd:nth-of-type(2)").split()[0])
        shown = Subject(Run(tmp_path), model, data, points=20).images[:1]
        with torch.inference_mode():
            own = torch.stack([model.nll(shown) for _ in range(20)])
        assert own.min() - 5 < nats < own.max() + 5
    tab.close()
    assert [text for text in wrong if "willReadFrequently" not in text] == []


def test_the_page_says_what_is_wrong(serve, chromium, monkeypatch):
    server = serve("ae")
    tab = chromium.new_page()
    tab.goto(server.address)
    tab.wait_for_selector("html[data-ready]")

    def refuse(*_):
        raise GdlError("A sentence <b>of</b> the model.")

    with monkeypatch.context() as m:
        m.setattr(server.model.model, "decode", refuse)
        tab.evaluate("() => app.set({z: [1, 1]})")
        assert "A sentence <b>of</b> the model." in tab.text_content("#status")
    tab.evaluate("() => app.set({z: [1, 1]})")
    assert not tab.text_content("#status")
    tab.route("**/run/*", lambda route: route.abort())
    tab.evaluate("() => app.set({z: [1, 0]})")
    assert "does not answer" in tab.text_content("#status")
    tab.close()


def run_of(folder, model):
    """Return the directory of a run that has a model as its best checkpoint."""
    data = {"_target_": "gdl.data.Digits", "shape": [*SHAPE], "levels": LEVELS}
    config = {"model": model.description(), "data": data}
    (folder / "checkpoints").mkdir()
    (folder / "run.json").write_text("{}")
    content = {"state_dict": model.state_dict(), "gdl_config": config}
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_the_command_prints_its_address_and_ends_by_a_signal(signum, tmp_path):
    run = run_of(tmp_path, perturbed(MODELS["glow"]()))
    command = [sys.executable, "-m", "gdl", "explore", "--serve", f"run={run}", "device=cpu"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    try:
        line = process.stdout.readline()
        assert line.startswith("explorer:   http://127.0.0.1:"), process.stderr.read()
        assert "Ctrl+C" in process.stdout.readline()
        host, _, rest = line.split()[1].removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", f"/{rest}")
        assert b"<title>Glow on" in connection.getresponse().read()
        process.send_signal(signum)
        out, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 128 + signum
    assert errors == f"stopped by {signum.name}.\n"
    assert out == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tuple(host.split(":")), timeout=5)


def test_the_flag_may_stand_anywhere_and_is_of_this_command_only():
    for args in (["--serve", "run=x", "port=1"], ["run=x", "port=1", "--serve"]):
        found = with_serve(args, "explore")
        assert sorted(found) == ["port=1", "run=x", "serve=true"]
    assert with_serve(["--serve"], "export") == ["--serve"]


@pytest.mark.parametrize("key", ["out", "checkpoints"])
def test_what_belongs_to_a_page_in_a_file_is_refused(key):
    cfg = {
        "run": "none",
        "serve": True,
        "points": None,
        "out": None,
        "checkpoints": False,
        key: "page.html",
    }
    with pytest.raises(GdlError, match=f"{key}=page.html is of a page in a file"):
        explore(OmegaConf.create(cfg))


@pytest.mark.parametrize("port", [-1, 65536, 1.5, "a", True, None])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(GdlError, match=f"^port={'null' if port is None else port} does not fit"):
        check_values(OmegaConf.create({"port": port}), "explore")


@pytest.mark.parametrize(
    ("device", "gpus", "sentence"),
    [
        ("cuda", 0, "device=cuda: torch can see no CUDA GPU"),
        ("cuda:1", 1, "device=cuda:1: the last CUDA GPU of this machine is 0"),
        ("mps", 0, "device=mps: torch can see no Apple GPU"),
        ("gpu", 1, "device=gpu is not known"),
    ],
)
def test_a_device_that_is_not_there_is_a_sentence(device, gpus, sentence, tmp_path, monkeypatch):
    run = run_of(tmp_path, MODELS["ae"]())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(GdlError, match=sentence):
        open_run(run, device)


class Slow(torch.nn.Module):
    """A model that draws for a minute, layer by layer, unless it is stopped."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.shape, self.num_classes, self.levels = SHAPE, 0, LEVELS
        self.device, self.drawing = torch.device("cpu"), threading.Event()

    def sample(self, n, *, seed=0, temperature=1.0):
        self.drawing.set()
        for _ in range(6000 if seed == 0 else 1):
            self.layer(torch.zeros(1, 1))
            time.sleep(0.01)
        return torch.full((n, *SHAPE), seed)


def test_what_nobody_waits_for_is_left_also_in_the_midst_of_a_draw(capfd):
    model, server = Slow(), PageServer()
    served = Served(model)
    thread = threading.Thread(target=server.serve, args=("", "", served), daemon=True)
    thread.start()
    one = torch.ones(1)
    body = packed_tensors({"seed": 0 * one, "temperature": one})
    head = f"POST /{server.token}/run/sample HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    tabs = [socket.create_connection(server.server_address[:2], timeout=10) for _ in range(5)]
    for tab in tabs:
        tab.sendall(head.encode() + body)
    assert model.drawing.wait(10)
    for tab in tabs:  # the first draws, the others wait for it
        tab.close()
    began = time.monotonic()
    image = run(server, "sample", seed=one, temperature=one)["image"]
    assert image.unique().tolist() == [1]
    assert time.monotonic() - began < 10
    server.shutdown()
    thread.join(10)
    assert capfd.readouterr().err == ""
    assert not torch.nn.modules.module._global_forward_pre_hooks


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost"])
def test_the_printed_address_is_the_one_that_a_browser_asks_for(host, chromium):
    with PageServer(host) as server:
        tab = chromium.new_page()
        asked = tab.evaluate("address => new URL(address).host", server.address)
        tab.close()
        assert asked in server.hosts
        assert server.address.startswith(f"http://{asked}/")
        assert not server.is_open


def test_a_density_is_one_request_for_each_layer():
    served = Served(Gaussian((2,), None).eval())
    points = torch.randn(96 * 96, 2)
    assert served.run("layer1", {"h": points})["h"].shape == points.shape
    with pytest.raises(GdlError, match=f"from 1 to {VECTORS} images"):
        served.run("decode", {"z": torch.zeros(VECTORS + 1, 2)})


def test_errors_of_the_server_are_a_sentence_in_every_part_and_no_fault_of_the_page(
    serve, chromium
):
    server, wrong = serve("vae"), []
    tab = chromium.new_page()
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    tab.goto(server.address)
    tab.wait_for_selector("html[data-ready]")
    tab.route("**/run/*", lambda route: route.abort())
    for _ in range(2):
        tab.click("#latent_map .map_canvas", position={"x": 90, "y": 60})
    tab.wait_for_function("document.querySelector('#status').textContent")
    assert "does not answer" in tab.text_content("#status")
    assert tab.evaluate("() => document.querySelector('.failed')") is None
    tab.unroute("**/run/*")
    nans = "async () => { app.model.run = async () => ({image: {shape: [1, 1, 8, 8], data: "
    tab.evaluate(nans + "new Float32Array(64).fill(NaN)}}); await app.set({}); }")
    assert "not finite" in tab.text_content("#status")
    tab.close()
    assert wrong == []


def test_what_a_seed_may_be_is_said_and_the_shown_samples_keep_their_name(
    data, tmp_path, chromium
):
    model = perturbed(SAMPLERS["conditional"]())
    served, server = Served(model), PageServer()
    page = page_of(Subject(Run(tmp_path), model, data), served.programs)
    thread = threading.Thread(target=server.serve, args=(*page, served), daemon=True)
    thread.start()
    tab = chromium.new_page()
    tab.goto(server.address)
    tab.wait_for_selector("#code:has-text('sample 1 of seed 0, class 0')")
    for wrong in ("", "-1", "1.5", "16777216", "1e30"):
        tab.fill("#samples input[type=number]", wrong)
        tab.keyboard.press("Enter")
        assert "whole number from 0 to 16777215" in tab.text_content("#samples [role=status]")
        assert tab.input_value("#samples input[type=number]") == "0"
    tab.fill("#samples input[type=number]", "16777215")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#code:has-text('seed 16777215')")
    tab.click("#samples .samples_tools button")
    tab.wait_for_selector("#code:has-text('sample 1 of seed 0,')")
    tab.route("**/run/*", lambda route: None)  # a draw that does not end
    tab.fill("#samples input[type=number]", "5")
    tab.keyboard.press("Enter")
    tab.click("#samples [aria-label='Sample 3']")
    assert tab.text_content("#code") == "sample 3 of seed 0, class 0"
    assert tab.get_attribute("#samples [aria-label='Sample 3']", "aria-pressed") == "true"
    assert tab.text_content("#samples [role=status]").startswith("Drawing")
    tab.close()
    server.shutdown()
    thread.join(10)


def test_play_shows_the_way_at_a_speed_that_the_model_can_follow(serve, chromium):
    server = serve("vae")
    tab = chromium.new_page()
    tab.goto(server.address)
    tab.wait_for_selector("html[data-ready]")
    for x in (90, 180):
        tab.click("#latent_map .map_canvas", position={"x": x, "y": 60})
    tab.wait_for_selector(".map_play:not([disabled])")
    tab.wait_for_timeout(150)
    shown = tab.evaluate("""async () => {
        const run = app.model.run.bind(app.model);
        app.model.run = async (...given) => {
            await new Promise(r => setTimeout(r, 450));
            return run(...given);
        };
        let shown = 0;
        app.on("decoded", () => { shown++; });
        document.querySelector(".map_play").click();
        await new Promise(r => setTimeout(r, 1000));
        return [Number(document.querySelector(".map_t").value), shown];
    }""")
    tab.close()
    assert shown[1] >= 1
    assert 0 < shown[0] <= (shown[1] + 1) / 24 + 0.02, "no picture of the way is left out"
