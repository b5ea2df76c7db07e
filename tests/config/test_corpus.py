"""Configs in the style of ViT-Adapter's authors, each compared with what executing it gives."""
# ruff: noqa: E501  # a config's line stays one line

import pytest
from mmengine.config import Config

from modelscope_vitadapter.config.reader import NAMES, read_config

MODEL = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoderMask2Former',
    pretrained=None,
    backbone=dict(type='BEiTAdapter', patch_size=16, embed_dim=1024, depth=24, num_heads=16,
                  mlp_ratio=4, qkv_bias=True, init_values=1e-6, drop_path_rate=0.3,
                  interaction_indexes=[[0, 5], [6, 11], [12, 17], [18, 23]]),
    decode_head=dict(type='Mask2FormerHead', in_channels=[1024] * 4, num_queries=200,
                     norm_cfg=norm_cfg, loss_cls=dict(class_weight=[1.0] * 171 + [0.1])),
    train_cfg=dict(num_points=12544),
    test_cfg=dict(mode='slide', crop_size=(896, 896), stride=(512, 512)))
"""
DATA = """
dataset_type = 'COCOStuffDataset'
data_root = 'data/coco_stuff164k/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
crop_size = (512, 512)
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', img_scale=(2048, 512),
    ratio_range=(0.5, 2.0)), dict(type='Pad', size=crop_size, pad_val=0, seg_pad_val=255)]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(2048, 512), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg), dict(type='Collect', keys=['img'])])]
data = dict(
    samples_per_gpu=4, workers_per_gpu=4,
    train=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
    val=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline),
    test=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline))
"""
SCHEDULE = """
optimizer = dict(type='AdamW', lr=6e-5, weight_decay=0.01)
lr_config = dict(policy='poly', warmup='linear')
runner = dict(type='IterBasedRunner', max_iters=80000)
"""

CORPUS = {
    "authors_chain": "_base_ = ['base/model.py', 'base/data.py', 'base/schedule.py']\n"
    "crop_size = (896, 896)\n"
    "model = dict(pretrained='x.pth', backbone=dict(img_size=896, with_cp=True),\n"
    "    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(512, 512)))\n"
    "data = dict(samples_per_gpu=1)\nlr = 2e-5\n",
    "delete_head": "_base_ = ['base/model.py']\n"
    "model = dict(decode_head=dict(_delete_=True, type='UPerHead', in_channels=[768] * 4))\n",
    "class_arithmetic": "num_things_classes = 80\nnum_stuff_classes = 91\n"
    "num_classes = num_things_classes + num_stuff_classes\n"
    "model = dict(decode_head=dict(num_classes=num_classes,\n"
    "    loss_cls=dict(class_weight=[1.0] * num_classes + [0.1])))\n",
    "class_list": "things = ['person', 'car']\nstuff = ('sky', 'road')\n"
    "CLASSES = things + list(stuff)\nPALETTE = [[i, (i * 7) % 256, 255 - i] for i in range(len(CLASSES))]\n",
    "comprehended_indexes": "depth = 24\nmodel = dict(backbone=dict(depth=depth,\n"
    "    interaction_indexes=[[i * depth // 4, (i + 1) * depth // 4 - 1] for i in range(4)]))\n",
    "f_strings": "size = 'large'\npatch = 16\n"
    "model = dict(pretrained=f'pretrained/beit_{size}_patch{patch:02d}_{0.5:.1f}_{size!r:>9}.pth')\n",
    "conditional": "large = True\nmodel = dict(backbone=dict(embed_dim=1024 if large else 768,\n"
    "    heads=16 if large and not False else 12, cp=None is None, ok=1 < 2 <= 2 != 3))\n",
    "norms": "img_norm_cfg = dict(mean=[0.485 * 255, 116.28, 103.53], to_rgb=not False)\n"
    "test_pipeline = [dict(type='Normalize', **img_norm_cfg)]\ndata = dict(test=dict(pipeline=test_pipeline))\n",
    "shared_encoder": "ffn = dict(type='FFN', num_fcs=2)\nlayer = dict(ffn_cfgs=ffn)\n"
    "model = dict(encoder=dict(layer=layer), decoder=dict(layer=layer))\nffn['num_fcs'] = 3\n",
    "edited_later": "model = dict(backbone=dict(depth=12))\nmodel['backbone']['depth'] = 24\n"
    "model['test_cfg'] = dict(mode='whole')\ndel model['backbone']['depth']\n",
    "unpacked": "base = dict(a=1, b=2)\nextra = dict(c=3)\nmodel = dict(x={**base, **extra, 'a': 9},\n"
    "    y=dict(base, d=4), z=dict(**base, **extra), w=[*range(3), *'ab'], v=(*[1], 2))\n",
    "dict_of_pairs": "names = ['a', 'b']\nmodel = dict(m=dict(zip(names, range(2))),\n"
    "    n=dict([('k', 1)], j=2), o={k: i for i, k in enumerate(names, start=1)})\n",
    "slices": "x = list(range(10))\nmodel = dict(a=x[2:5], b=x[::-1], c=x[-1], d='abc'[1:], e=(1, 2, 3)[:2])\n",
    "strings": "model = dict(a='a' 'b', b='%s-%03d' % ('x', 5), c='-' * 3, d='%d%%' % 5, e='''x\ny''',\n"
    "    f='%(k)s' % dict(k=1), g=r'\\d', h='\\n\\u5929')\n",
    "numbers": "model = dict(a=2 ** -1, b=7 // 2, c=-7 % 3, d=1e-6, e=0x10, f=1_000, g=~5, h=+True,\n"
    "    i=max(1, 2), j=min([3, 1]), k=abs(-2), l=round(2.567, 2), m=sum([0.1] * 10), n=int('7'))\n",
    "sets": "model = dict(n=len({1, 2, 2}), s=sorted({3, 1, 2}), t=3 in {3}, u={x % 2 for x in (1, 2, 3)})\n",
    "templates": "model = dict(a='{{ fileBasenameNoExtension }}/x', b='{{fileExtname}}',\n"
    "    c='{{ fileDirname }}', d='{{ fileBasename }}')\n",
    "base_templates": "_base_ = ['base/data.py']\nmodel = dict(mean={{ _base_.img_norm_cfg.mean }},\n"
    "    size={{_base_.crop_size}}, both=[{{ _base_.crop_size }}])\n"
    "test_pipeline = [dict(type='Normalize', **_base_.img_norm_cfg)]\n",
    "base_expressions": "_base_ = ['base/model.py']\n"
    "model = dict(backbone=dict(depth=_base_.model.backbone.depth * 2))\n"
    "_base_.model.decode_head.num_queries = 100\n",
    "single_base": "_base_ = './base/model.py'\nmodel = dict(backbone=dict(type='ViTAdapter', _delete_=True))\n",
    "nested_base": "_base_ = 'middle.py'\nmodel = dict(backbone=dict(depth=6))\n",
    "list_replaced": "_base_ = 'base/model.py'\nmodel = dict(backbone=dict(interaction_indexes=[[0, 1]]))\n",
    "noise": "import os.path as osp\nfrom copy import deepcopy\nwork_dir = osp.join('work', 'x')\n"
    "def helper(n):\n    return n * 2\nlr = helper(0.1)\nCLASSES = ['a']\n"
    "for i in range(3):\n    lr = lr / 2\nmodel = dict(a=1)\nif lr:\n    optimizer = dict(lr=lr)\n",
    "aliased": "a = b = dict(x=[1])\nb['x'] += [2]\nc, (d, *e) = a, [3, 4, 5]\n"
    "model = dict(a=a, c=c, d=d, e=e)\nd += 1\n",
    "nested_comprehensions": "model = dict(a=[[x * y for x in range(3) if x] for y in range(3) if y != 1],\n"
    "    b=[(x, y) for x in 'ab' for y in range(2)], c=any(x > 1 for x in [1, 2]), d=all([]),\n"
    "    e=[x for x, *_ in [(1, 2, 3), 'xy']], f=tuple(x for x in [1]), g=[*reversed([1, 2])])\n",
    "bare_test_cfg": "test_cfg = dict(mode='whole')\nmodel = dict(test_cfg=test_cfg)\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_read_configs_equal_executed_ones(write, name):
    path = write(
        CORPUS[name],
        base__model=MODEL,
        base__data=DATA,
        base__schedule=SCHEDULE,
        middle="_base_ = ['base/model.py']\nmodel = dict(backbone=dict(depth=12, extra=1))\n",
    )
    config = read_config(path)
    executed = Config.fromfile(path, lazy_import=False).to_dict()
    assert executed.keys() & set(NAMES) <= config.keys()
    filled = {"data"} - executed.keys()
    assert {key: executed[key] for key in config.keys() - filled} == {
        key: value for key, value in config.items() if key not in filled
    }
