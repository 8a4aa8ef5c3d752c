"""Pages and cards from Jinja templates: in HTML, all text that enters is escaped."""

from typing import Any

from dilo.pipeline.common.printing import printable


def render(package: str, template: str, **values: object) -> str:
    """Fill a template that lies in the folder ``templates`` of a package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    is_html = template.endswith(".html.j2")
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=is_html,
        finalize=_shown if is_html else None,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def _shown(value: Any) -> Any:
    """Write out what a browser would obey or nobody would see; HTML of a macro stays as it is."""
    return value if hasattr(value, "__html__") else printable(str(value))
