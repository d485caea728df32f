"""Checks the deployment files. .ci/check-k8s installs the dependencies and runs this."""

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

# The oldest supported Kubernetes, and the newest whose schemas the package contains.
KUBERNETES_VERSIONS = ("1.27", "1.37")

# The variables that each binary reads. The test e2e/tests/settings.rs compares the file with the
# binaries.
READ = json.loads(Path(".ci/variables.json").read_text())
INGEST, QUERY = set(READ["ingest-service"]), set(READ["query-service"])
# Keyed by container in k8s/ and by service in compose.yaml.
VARIABLES = {"migrate": INGEST, "ingest-service": INGEST, "query-service": QUERY}
# Variables that compose.yaml and the images set, so .env.sample does not offer them.
FIXED = {
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "DATABASE_PASSWORD_FILE",
    "TIDEGAUGE_INGEST_LISTEN",
    "TIDEGAUGE_QUERY_LISTEN",
    "TIDEGAUGE_HTTP_LISTEN",
    "TIDEGAUGE_INSECURE_LISTEN",
    "TIDEGAUGE_MIGRATE",
    "OTEL_SERVICE_NAME",
}


class Tally:
    """Prints one line per check, and counts passed and failed checks."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, problems):
        if problems:
            self.failed += 1
            print(f"FAIL  {name}")
            for problem in problems:
                print(f"      {problem}")
        else:
            self.passed += 1
            print(f"ok    {name}")


def render(folder):
    """Returns the objects that kubectl renders from a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"kubectl kustomize {folder}: {done.stderr}")
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def schema_problems(manifest):
    problems = []
    for version in KUBERNETES_VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            problems.append(f"Kubernetes {version}: {where}: {error.message[:300]}")
        except kubernetes_validate.SchemaNotFoundError as error:
            problems.append(error.message)
    return problems


def unknown_variables(reader, names):
    """Returns a problem for each name that the binary of `reader` does not read."""
    return [f"{reader} does not read {name}" for name in sorted(set(names) - VARIABLES[reader])]


def pod_problems(pod, config_maps):
    """Returns violations of rules that are stricter than the schema."""
    problems = []
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        problems.append("securityContext.runAsNonRoot is not true")
    for container in pod["containers"]:
        name = container["name"]
        rights = container.get("securityContext", {})
        if not rights.get("readOnlyRootFilesystem"):
            problems.append(f"{name}: securityContext.readOnlyRootFilesystem is not true")
        if rights.get("allowPrivilegeEscalation") is not False:
            problems.append(f"{name}: securityContext.allowPrivilegeEscalation is not false")
        if rights.get("capabilities", {}).get("drop") != ["ALL"]:
            problems.append(f"{name}: securityContext.capabilities.drop is not [ALL]")
        names = {variable["name"] for variable in container.get("env", [])}
        for source in container.get("envFrom", []):
            wanted = source["configMapRef"]["name"]
            if wanted not in config_maps:
                problems.append(f"{name}: ConfigMap {wanted} does not exist")
            names |= set(config_maps.get(wanted, {}))
        problems += unknown_variables(name, names)
        problems += probe_problems(container)
    return problems


def probe_problems(container):
    """Returns probes that do not use the plain HTTP port.

    That port works whether or not gRPC is encrypted. An open socket says nothing about readiness.
    """
    name = container["name"]
    problems = []
    for kind, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        if "ports" not in container:
            continue  # a job
        probe = container.get(kind, {})
        get = probe.get("httpGet", {})
        if (get.get("port"), get.get("path")) != ("http", path):
            problems.append(f"{name}: {kind} does not GET {path} on the port http")
        if {"grpc", "tcpSocket", "exec"} & set(probe):
            problems.append(f"{name}: {kind} has two handlers")
    return problems


def manifest_problems(manifest, config_maps):
    problems = schema_problems(manifest)
    if manifest["kind"] in ("Deployment", "Job"):
        problems += pod_problems(manifest["spec"]["template"]["spec"], config_maps)
    return problems


def config_maps_of(manifests):
    return {found["metadata"]["name"]: found["data"] for found in manifests if found["kind"] == "ConfigMap"}


def check_kustomization(tally, folder):
    manifests = render(folder)
    config_maps = config_maps_of(manifests)
    for manifest in manifests:
        name = f"{folder} {manifest['kind']} {manifest['metadata']['name']}"
        tally.check(name, manifest_problems(manifest, config_maps))


def check_refusals(tally):
    """Breaks a valid Deployment in one place at a time, and checks that each defect is found."""
    manifests = render("k8s/base")
    config_maps = config_maps_of(manifests)
    good = next(found for found in manifests if found["kind"] == "Deployment")

    def misspell(deployment, container):
        container["readinesProbe"] = container.pop("readinessProbe")

    def mistype(deployment, container):
        deployment["spec"]["replicas"] = "two"

    def run_as_root(deployment, container):
        del deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]

    def write_root(deployment, container):
        container["securityContext"]["readOnlyRootFilesystem"] = False

    def misspell_variable(deployment, container):
        container["env"].append({"name": "TIDEGAUGE_LGO", "value": "info"})

    def lose_config_map(deployment, container):
        container["envFrom"][0]["configMapRef"]["name"] = "absent"

    def probe_a_socket(deployment, container):
        container["readinessProbe"]["tcpSocket"] = {"port": "grpc"}

    def probe_elsewhere(deployment, container):
        container["livenessProbe"]["httpGet"]["path"] = "/readyz"

    damages = (misspell, mistype, run_as_root, write_root, misspell_variable, lose_config_map)
    for damage in (*damages, probe_a_socket, probe_elsewhere):
        broken = copy.deepcopy(good)
        damage(broken, broken["spec"]["template"]["spec"]["containers"][0])
        refused = manifest_problems(broken, config_maps)
        tally.check(f"self-check: refuses {damage.__name__}", [] if refused else ["the defect was not found"])


def check_compose(tally):
    text = Path("compose.yaml").read_text()
    compose = yaml.safe_load(text)
    sample = Path(".env.sample").read_text()
    offered = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", sample, re.MULTILINE))
    substituted = set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text))

    passed_on = set()
    for name in VARIABLES:
        environment = compose["services"][name]["environment"]
        passed_on |= {variable for variable, value in environment.items() if value is None}
        tally.check(f"compose.yaml {name}: every variable is read by the service", unknown_variables(name, environment))

    taken = substituted | passed_on
    problems = [f"{name} is in .env.sample, but compose.yaml does not use it" for name in sorted(offered - taken)]
    problems += [f"{name} is used by compose.yaml, but missing from .env.sample" for name in sorted(taken - offered)]
    problems += [f"{name} is a setting, but missing from .env.sample" for name in sorted((INGEST | QUERY) - FIXED - offered)]
    tally.check(".env.sample lists the variables that compose.yaml uses", problems)

    open_ports = [
        f"{name}: {port} is not bound to 127.0.0.1"
        for name, service in compose["services"].items()
        for port in service.get("ports", [])
        if not str(port).startswith("127.0.0.1:")
    ]
    tally.check("compose.yaml publishes on loopback only", open_ports)

    docker_compose = ["docker", "compose", "--env-file", ".env.sample", "config", "--quiet"]
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        print("note  docker compose is not installed: skipped `docker compose config`")
    else:
        done = subprocess.run(docker_compose, capture_output=True, text=True)
        tally.check("docker compose config", [done.stderr] if done.returncode else [])


def check_build_context(tally):
    members = tomllib.loads(Path("Cargo.toml").read_text())["workspace"]["members"]
    sent = Path(".dockerignore").read_text().splitlines()
    absent = [f"add !{member}: cargo reads every workspace member" for member in members if f"!{member}" not in sent]
    tally.check(".dockerignore admits every workspace member", absent)


def main():
    tally = Tally()
    for kustomization in sorted(Path("k8s").rglob("kustomization.yaml")):
        check_kustomization(tally, str(kustomization.parent))
    check_refusals(tally)
    check_compose(tally)
    check_build_context(tally)
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


main()
