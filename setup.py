"""Names the packages of the wheel; everything else is in pyproject.toml.

The checkout's folders `sandbox`, `jobs`, `mappings` and `salesforce` are installed under names that
begin with `l2c_`, so that a bare `jobs` never lands in anybody's site-packages.
"""

from setuptools import find_namespace_packages, find_packages, setup

CODE = {
    "connector": "connector",
    "l2c_sandbox": "sandbox",
    "l2c_jobs": "jobs",
    "l2c_bench": "bench",
}
# Kinds of files that travel with the code; a test compares the wheel with what git knows.
TRAVELS = [
    "sql", "yaml", "json", "csv", "txt", "proto", "pyi", "mako", "wsdl", "xml", "html", "css",
    "js", "svg", "png", "ico", "ttf", "otf", "woff2", "typ", "gz",
]  # fmt: skip
DATA = {"l2c_mappings": "mappings", "l2c_salesforce": "salesforce"}


def _packages() -> list[str]:
    names = list(DATA)
    for name, folder in CODE.items():
        names.append(name)
        names += [f"{name}.{child}" for child in find_packages(folder)]
        # Folders without Python modules (templates, SQL) travel as data of their package.
        assert set(find_packages(folder)) <= set(find_namespace_packages(folder))
    return names


setup(
    packages=_packages(),
    package_dir=CODE | DATA,
    package_data={
        "connector": [f"**/*.{suffix}" for suffix in TRAVELS] + ["py.typed"],
        "l2c_sandbox": [f"**/*.{suffix}" for suffix in TRAVELS],
        "l2c_mappings": [f"**/*.{suffix}" for suffix in TRAVELS],
        "l2c_salesforce": ["**/*"],
    },
)
