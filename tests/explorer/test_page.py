"""The page as a whole: one file, one script, no network; texts of a run are shown as they are."""

import numpy as np
import pytest
import torch
from small_runs import train

from gdl.explorer import Subject, write_page
from gdl.runs.checkpoints import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "vae", "model=vae", "data=digits")


def test_the_page_decodes_as_the_model_does(run, tmp_path, open_page):
    found, model, data = open_run(str(run), "cpu")
    tab = open_page(write_page(Subject(found, model, data), tmp_path / "page.html"))
    z = torch.randn(5, *model.latent_shape)
    for code in z:
        tab.evaluate("z => app.set({z})", code.tolist())
        pixels = tab.evaluate(
            "() => { const c = document.getElementById('decoded');"
            " return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }"
        )
        grey = np.array(pixels).reshape(*model.shape[1:], 4)[..., 0]
        with torch.inference_mode():
            own = model.decode(code[None])[0, 0] * 255 / (model.levels - 1)
        assert np.abs(grey - own.numpy()).max() <= 2
