"""The command line `gw`: its commands and options, and nothing of what they do.

Every command imports its work when it is called, so that `gw --help` is instant. Exit codes: 0,
1 for a failure of our own, 2 for a wrong command line or configuration, 3 when no gateway answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    name="gw",
    help="A multiprocess HTTP API gateway with service discovery from Consul and active health checks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would double the time it takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Config = Annotated[Path | None, typer.Option("-c", "--config", metavar="FILE", help="The configuration, as TOML.")]
Admin = Annotated[
    str | None,
    typer.Option(
        "--admin",
        metavar="HOST:PORT",
        help="Where the gateway's admin interface is. [default: GW_ADMIN, or admin of ./gateway.toml, "
        "or 127.0.0.1:9901]",
    ),
]
Consul = Annotated[
    str | None, typer.Option("--consul", metavar="URL", help="The Consul agent, such as http://127.0.0.1:8500.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: stable and complete.")]


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"gw {version('gw')}")
        raise typer.Exit


@app.callback()
def gw(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A multiprocess HTTP API gateway with service discovery from Consul and active health checks."""


@app.command()
def up(
    config: Config = None,
    workers: Annotated[
        int | None,
        typer.Option("-w", "--workers", metavar="N", min=1, help="Worker processes. [default: the usable CPUs]"),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Take requests here. May be given several times."),
    ] = None,
    admin: Annotated[
        str | None, typer.Option("--admin", metavar="HOST:PORT", help="Serve the admin interface here.")
    ] = None,
    consul: Consul = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Start three small backends as well, and route to them.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take over from the running gateway without losing a request.")
    ] = False,
) -> None:
    """Run the gateway in the foreground.

    Flags win over environment, environment over file. Without a file, routes come from Consul's tags.
    SIGTERM and SIGINT drain and exit 0; SIGHUP reloads; SIGUSR2 starts a new gateway that replaces this one.
    """
    import os

    if os.getpid() == 1:
        from cli import init

        code = init.split_off()
        if code is not None:
            raise typer.Exit(code)
    from gateway.supervisor.held_signals import held

    with held():  # the rest takes a moment to import
        from cli.up import up as run

        code = run(config, workers, listen or [], admin, consul, demo, replace)
    raise typer.Exit(code)


@app.command()
def check(
    config: Config = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="What it would add, change and remove in the running gateway.")
    ] = False,
    json: Json = False,
    admin: Admin = None,
) -> None:
    """Validate a configuration; print every error at once.

    Exits 0 when it can be used, else 2.
    """
    from cli.check import run

    if diff:
        _talk(lambda: run(config, admin, with_diff=True, as_json=json))
    raise typer.Exit(run(config, admin, with_diff=False, as_json=json))


@app.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Live, until q or Ctrl-C; h shows the keys: sort, filter, pause, scroll.")
    ] = False,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Only this service, with its history.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="A sentence for each fact: for screen readers. Implied by TERM=dumb.")
    ] = False,
    json: Json = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, help="Between two looks of --watch.")
    ] = 1.0,
    admin: Admin = None,
) -> None:
    """Show the running gateway as a dashboard.

    Workers, services, instances with their health and its reason, rates, latencies, discovery, problems.
    """
    from cli import inspect

    _talk(lambda: inspect.status(admin, watch=watch, as_json=json, interval=interval, service=service, plain=plain))


@app.command()
def routes(json: Json = False, admin: Admin = None) -> None:
    """Show the routes in force and their origins."""
    from cli import inspect

    _talk(lambda: inspect.routes(admin, as_json=json))


@app.command()
def services(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this service.", show_default=False)] = None,
    history: Annotated[
        bool, typer.Option("--history", help="What became of each instance: when, who decided, why.")
    ] = False,
    json: Json = False,
    admin: Admin = None,
) -> None:
    """Show the services in force and their instances."""
    from cli import inspect

    _talk(lambda: inspect.services(admin, name, as_json=json, history=history))


@app.command()
def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="Such as GET.", show_default=False)],
    url: Annotated[str, typer.Argument(metavar="URL", help="A URL with its host, or a path.", show_default=False)],
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="'Name: value'", help="A header field. May be given several times."),
    ] = None,
    client: Annotated[
        str, typer.Option("--client", metavar="IP", help="Where it comes from. [default: this machine]")
    ] = "",
    json: Json = False,
    admin: Admin = None,
) -> None:
    """Tell where a request would go, and why.

    Routes, instances, balance, limits, changes; nothing is sent to an instance.
    """
    from cli import explain as explaining

    _talk(lambda: explaining.explain(admin, method, url, header or [], client, as_json=json))


@app.command()
def wait(
    generation: Annotated[
        int | None, typer.Option("--generation", metavar="G", min=1, help="Until every worker uses generation G.")
    ] = None,
    service: Annotated[
        str | None, typer.Option("--service", metavar="S", help="Until this service has healthy instances...")
    ] = None,
    healthy: Annotated[
        int | None, typer.Option("--healthy", metavar="N", min=0, help="...so many at least. [default: 1]")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.0, help="Wait at most so long, then exit 1. 0: no limit.")
    ] = 30.0,
    json: Json = False,
    admin: Admin = None,
) -> None:
    """Return once the gateway has come so far: for deploy scripts.

    Without options: until it is ready. A gateway that does not answer yet is waited for.
    """
    from cli import wait as waiting

    _talk(
        lambda: waiting.wait(
            admin, generation=generation, service=service, healthy=healthy, timeout=timeout, as_json=json
        )
    )


Service = Annotated[str, typer.Argument(metavar="SERVICE", help="The service's name.", show_default=False)]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="Its address, host:port.", show_default=False)]


@app.command()
def why(
    request_id: Annotated[
        str, typer.Argument(metavar="[REQUEST_ID]", help="As in X-Request-ID of the response.", show_default=False)
    ] = "",
    errors: Annotated[bool, typer.Option("--errors", help="The last failures and retries instead.")] = False,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=1000, help="So many of them, with --errors.")
    ] = 20,
    json: Json = False,
    admin: Admin = None,
) -> None:
    """Tell the story of one recent request.

    Worker, route, candidates, pick, every attempt with its timing and outcome, the reason and what it means. Exits 1
    when no worker remembers it: failures are remembered longer than requests that went well.
    """
    from cli import why as stories

    if errors == bool(request_id):
        raise typer.BadParameter("Give either a REQUEST_ID or --errors.")
    if errors:
        _talk(lambda: stories.failures(admin, last, as_json=json))
    _talk(lambda: stories.why(admin, request_id, as_json=json))


@app.command()
def drain(
    service: Service,
    instance: Instance,
    wait: Annotated[bool, typer.Option("--wait", help="Return once none of its requests is left.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.0, help="Wait at most so long, then exit 1. 0: no limit.")
    ] = 0.0,
    json: Json = False,
    admin: Admin = None,
) -> None:
    """Take an instance out of balancing; its requests finish.

    It stays out, over reloads and whatever Consul says, until `gw undrain`.
    """
    from cli import drain as draining

    _talk(lambda: draining.drain(admin, service, instance, wait=wait, timeout=timeout, as_json=json))


@app.command()
def undrain(service: Service, instance: Instance, json: Json = False, admin: Admin = None) -> None:
    """Put a drained instance back into balancing."""
    from cli import drain as draining

    _talk(lambda: draining.undrain(admin, service, instance, as_json=json))


@app.command()
def reload(json: Json = False, admin: Admin = None) -> None:
    """Apply the changed configuration, as SIGHUP does.

    A configuration with errors changes nothing: the errors are printed, and the exit code is 2.
    """
    from cli import operate

    _talk(lambda: operate.reload(admin, as_json=json))


@app.command()
def down(admin: Admin = None) -> None:
    """Drain and end the gateway, as SIGTERM does."""
    from cli import operate

    _talk(lambda: operate.down(admin))


@app.command()
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The service's name.", show_default=False)],
    address: Annotated[str, typer.Option("--address", metavar="A", help="Where the instance answers: host or IP.")],
    port: Annotated[int, typer.Option("--port", metavar="P", min=1, max=65535, help="Its port.")],
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="T", help="Such as gw.path=/users/*. May be given several times."),
    ] = None,
    weight: Annotated[int, typer.Option("--weight", metavar="N", min=1, max=65535, help="Its share of traffic.")] = 1,
    check_http: Annotated[
        str | None, typer.Option("--check-http", metavar="PATH", help="Consul asks for this path every 5 s.")
    ] = None,
    check_tcp: Annotated[bool, typer.Option("--check-tcp", help="Consul connects every 5 s.")] = False,
    check_ttl: Annotated[
        float | None, typer.Option("--check-ttl", metavar="S", help="The instance reports itself every S seconds.")
    ] = None,
    consul: Consul = None,
) -> None:
    """Register a service with the Consul agent.

    Prints the ID that `gw deregister` takes.
    """
    from cli import operate

    code = operate.register(
        name,
        address,
        port,
        tags=tag or [],
        weight=weight,
        check_http=check_http,
        check_tcp=check_tcp,
        check_ttl=check_ttl,
        consul=consul,
    )
    raise typer.Exit(code)


@app.command()
def deregister(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `gw register` printed it.")],  # noqa: A002 (its name)
    consul: Consul = None,
) -> None:
    """Remove a service from the Consul agent by its ID."""
    from cli import operate

    raise typer.Exit(operate.deregister(id, consul=consul))


def _talk(work: Callable[[], int]) -> NoReturn:
    """Run a command that talks to a running gateway; exit with what it returns, 3 when nobody answers."""
    from cli.admin_client import NobodyAnswers, Refused

    try:
        code = work()
    except NobodyAnswers as error:
        typer.echo(str(error), err=True)
        code = 3
    except Refused as error:
        typer.echo(str(error), err=True)
        code = 1
    raise typer.Exit(code)


def main() -> None:
    """The console script."""
    app(prog_name="gw")


if __name__ == "__main__":
    main()
