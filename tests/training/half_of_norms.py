"""One of two processes that share batch norms; imported by the processes that the test starts."""

import torch
from torch import distributed, nn

from modelscope_vitadapter.training.batch_norm import share_batch_norms

PROCESSES = 2


def network():
    """Two norms, one of them without scale, behind convolutions."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, affine=False)
    ).train()


def batch():
    """Four pictures whose halves have different statistics."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, 6, 7, generator=generator)
    return x * torch.tensor([1.0, 2.0, 0.5, 3.0])[:, None, None, None] + 0.3


def passes(module, x):
    """Two forward passes, the second one backward."""
    x = x.clone().requires_grad_()
    module(x.detach())
    output = module(x)
    (output * torch.linspace(-1, 1, output[0].numel()).view(output[0].shape)).sum().backward()
    return {
        "output": output.detach(),
        "input gradient": x.grad,
        "gradients": {name: p.grad for name, p in module.named_parameters()},
        "state": {name: value.clone() for name, value in module.state_dict().items()},
    }


def work(process, folder):
    """Saves what this process's half gives."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=(folder / "store").as_uri(), rank=process, world_size=PROCESSES
    )
    module = network()
    share_batch_norms(module)
    torch.save(passes(module, batch()[2 * process : 2 * process + 2]), folder / f"{process}.pt")
    distributed.destroy_process_group()
