"""No training can beat the entropy: a search for what makes a wrong bound too good."""

import copy
import math

import torch

from gdl.audit import diagnosis
from gdl.audit.finding import FAILED, PASSED, Finding
from gdl.audit.subjects import Tiny, draws
from gdl.noise import seed_noise

__all__ = ["no_training_beats_the_entropy"]


def no_training_beats_the_entropy(tiny: Tiny, steps: int = 150) -> Finding:
    """Trained on all images alike, the mean nll stays at or above ln N, their entropy (Gibbs).

    Training finds what an nll counts wrongly: a term with the wrong sign, or a density that is taken for
    a probability, grows without limit. A bound comes near ln N, since a uniform density is easy.
    """
    check, what = "entropy", "ln N - mean nll in nats, trained on all N images alike"
    model, x = copy.deepcopy(tiny.model).float(), tiny.x
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return Finding(check, what, verdict="not applicable", reason="the model has no parameters")
    optimizer = torch.optim.Adam(parameters, 0.02)
    entropy, limit = math.log(len(x)), 0.02
    for step in range(steps):
        seed_noise(model.device, "audit", "entropy", step)
        optimizer.zero_grad()
        loss = model.loss(x)["nll"].mean()
        if not bool(loss.isfinite()) or float(loss.detach()) < entropy - 5:
            break
        loss.backward()
        if step > steps // 2:
            optimizer.param_groups[0]["lr"] = 0.005
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
    nll = draws(model.eval(), x, 64)
    mean = float(nll.mean())
    error = float(nll.mean(1).std() / 8) if len(nll) > 1 else 0.0
    below = entropy - mean
    if below <= limit + 6 * error:
        ratio = entropy / mean
        if abs(ratio / math.log(2) - 1) < 0.01 and steps >= 150:
            reason = f"the best nll of uniform images is {mean:.3f}, ln N = {entropy:.3f}: it is in bits, not nats"
            return Finding(check, what, below, limit, FAILED, reason)
        return Finding(check, what, below, limit, PASSED)
    named = diagnosis.offset(below, model.num_dims, model.levels, 0.1)
    reason = (
        "the nll is less than any density allows: "
        f"{named or 'a term has the wrong sign or is missing, or a density is taken for a probability'}"
    )
    return Finding(check, what, below, limit, FAILED, reason)
