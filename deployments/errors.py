"""What goes wrong between the pipeline and the services it talks to.

```
DeploymentError                 transient: whether the same call may work a moment later
├── SettingsError               variables are missing, or still hold a placeholder
├── ServiceError                a service's answer, or the lack of one
│   ├── ServiceUnreachable      transient: no connection could be had
│   │   └── LostReply           transient: the answer was lost; what was asked for may have happened
│   ├── ServiceRefused          an answer that says no; transient for 423, 429 and 5xx
│   └── ServiceAnswerUnknown    an answer that is not what the service documents; transient where it is no JSON
├── BranchNotFound              Neon has no branch of that name
├── BranchNameTaken             Neon has another branch of that name
├── WrongBranch                 a branch or a host handed out is not the one asked for, or is production
├── WrongDatabase               a connection string does not lead to the environment that it was given for
├── OperationFailed             an asynchronous operation ended in failure, or not in time
├── ProjectNotLinked            a Vercel project that is connected to no git repository
├── SharedVariable              a variable of Vercel's that other builds would be given as well
├── VariableNotSet              a variable of Vercel's that is not there, though it was written
├── BuildFailed                 a build ended in an error, or not in time
├── PromotionFailed             production's address did not move to the deployment
├── RefNotFound                 the repository has no such ref
├── SubpathNotFound             the commit has no such folder
└── RepositoryUnreachable       transient: the repository cannot be read
```
"""

from collections.abc import Sequence


class DeploymentError(Exception):
    """The root of everything that deployments/ raises.

    Attributes:
        transient: whether the same call may work a moment later.
    """

    transient: bool = False


class SettingsError(DeploymentError):
    """Variables are missing, or still hold a placeholder; their values are never told."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            f"the settings are not complete: {'; '.join(problems)}. "
            "Set them in the environment, or in the file that --env-file names; .env.example says what each one is, "
            "and `pilotage local up --detach` writes a complete .pilotage/local.env"
        )


class ServiceError(DeploymentError):
    """A service's answer, or the lack of one.

    Attributes:
        service: Neon, Vercel or Slack.
        request: method and path.
        status: HTTP status; None without an answer.
    """

    def __init__(self, service: str, request: str, reason: str, *, status: int | None = None) -> None:
        self.service = service
        self.request = request
        self.status = status
        super().__init__(f"{service}: {request}: {reason}")


class ServiceUnreachable(ServiceError):
    """No connection could be had."""

    transient = True


class LostReply(ServiceUnreachable):
    """The answer was lost; what was asked for may have happened."""


class ServiceRefused(ServiceError):
    """An answer that says no.

    Attributes:
        code: the service's own code; often empty.
        message: the service's own words.
        retry_after_s: seconds after which it asks to be called again; None where it does not say.
    """

    def __init__(
        self, service: str, request: str, reason: str, *, status: int, code: str = "", message: str = ""
    ) -> None:
        super().__init__(service, request, reason, status=status)
        self.code = code
        self.message = message
        self.retry_after_s: float | None = None
        self.transient = status in {423, 429} or status >= 500


class ServiceAnswerUnknown(ServiceError):
    """An answer that is not what the service documents; transient where it is no JSON: then it may not be its own."""

    def __init__(self, service: str, request: str, reason: str, *, transient: bool = False) -> None:
        super().__init__(service, request, reason)
        self.reason = reason
        self.transient = transient


class BranchNotFound(DeploymentError):
    """Neon has no branch of that name."""

    def __init__(self, name: str, project_id: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(f"Neon project {project_id} has no branch {name}; it has: {', '.join(known) or 'none'}")


class BranchNameTaken(DeploymentError):
    """Neon has another branch of that name."""

    def __init__(self, name: str, branch_id: str, why: str) -> None:
        self.name = name
        super().__init__(f"Neon has a branch {name} already ({branch_id}), and it is not the one asked for: {why}")


class WrongBranch(DeploymentError):
    """A branch or a host handed out is not the one asked for, or is production."""


class WrongDatabase(DeploymentError):
    """A connection string does not lead to the environment that it was given for, or that cannot be told.

    Attributes:
        variable: the setting that it came from.
    """

    def __init__(self, variable: str, environment: str, why: str, *, transient: bool = False) -> None:
        self.variable = variable
        self.transient = transient
        super().__init__(f"{variable} is not used as {environment}'s database: {why}. Nothing was sent there")


class OperationFailed(DeploymentError):
    """An asynchronous operation ended in failure, or not in time."""


class ProjectNotLinked(DeploymentError):
    """A Vercel project that is connected to no git repository, or to one that no build can be asked for of."""

    def __init__(self, project_id: str, link_type: str | None = None) -> None:
        connected = (
            "no git repository"
            if link_type is None
            else f"{link_type}, and does not say to which repository there in a way that is known"
        )
        super().__init__(
            f"Vercel project {project_id} is connected to {connected}: connect it to a repository of GitHub, GitLab or"
            " Bitbucket in its settings, under Git"
        )


class SharedVariable(DeploymentError):
    """A variable of Vercel's that other builds would be given as well, or instead.

    Attributes:
        key: the variable.
        others: what else is given it.

    Args:
        key: the variable.
        variable_id: Vercel's id of it.
        project_id: the project.
        target: the target that it is written for.
        others: what else is given it.
        git_branch: the branch whose previews alone are given it.
        written: whether it was written before the others were seen.
    """

    def __init__(
        self,
        key: str,
        variable_id: str,
        project_id: str,
        target: str,
        others: Sequence[str],
        *,
        git_branch: str | None = None,
        written: bool = False,
    ) -> None:
        self.key = key
        self.others = tuple(others)
        where = f"Vercel's variable {key} of project {project_id} ({variable_id})"
        if git_branch is not None:
            super().__init__(
                f"{where} is for the previews of the git branch {git_branch} alone, whose builds would be given it"
                f" instead of {target}'s: remove it with `vercel env rm {key} {target} {git_branch}`"
            )
            return
        named = ", ".join(others)
        reaches = f"was written for it alone, and reaches {named}" if written else f"would reach {named} as well"
        super().__init__(
            f"{where} serves {target} and {named} at once: the database of {target} {reaches}"
            f"{'' if written else ', and it is not written'}. In the project's settings, under Environment Variables,"
            f" edit it and untick {target}: {named} keep{'s' if len(others) == 1 else ''} the value, and the next"
            f" release makes a variable for {target} alone. `vercel env rm` would remove it everywhere"
        )


class VariableNotSet(DeploymentError):
    """A variable of Vercel's that is not there, though it was written."""

    def __init__(self, key: str, project_id: str, target: str) -> None:
        super().__init__(
            f"Vercel's project {project_id} shows no variable {key} for {target}, though it was written and no build"
            " would be given it: look at the project's settings, under Environment Variables, and try again"
        )


class BuildFailed(DeploymentError):
    """A build ended in an error, or not in time.

    Attributes:
        late_after_s: seconds after which a build that goes on was given up; None for one that has ended.
    """

    def __init__(
        self, deployment_id: str, state: str, lines: Sequence[str], *, late_after_s: float | None = None
    ) -> None:
        self.deployment_id = deployment_id
        self.state = state
        self.late_after_s = late_after_s
        log = "\n".join(lines[-10:])
        how = f"ended as {state}" if late_after_s is None else f"is still {state} after {late_after_s:g} s"
        super().__init__(f"deployment {deployment_id} {how}{': ' + log if log else ''}")


class PromotionFailed(DeploymentError):
    """Production's address did not move to the deployment."""


class RefNotFound(DeploymentError):
    """The repository has no such ref."""

    def __init__(self, repository: str, ref: str, near: Sequence[str]) -> None:
        self.ref = ref
        self.near = tuple(near)
        known = f"; near ones: {', '.join(near)}" if near else ""
        super().__init__(f"{repository} has no branch, tag or commit {ref}{known}")


class SubpathNotFound(DeploymentError):
    """The commit has no such folder."""

    def __init__(self, repository: str, sha: str, subpath: str) -> None:
        super().__init__(
            f"commit {sha[:12]} of {repository} has no folder {subpath}: "
            "set PILOTAGE_RELEASE_REVISIONS_PATH to where its revisions are"
        )


class RepositoryUnreachable(DeploymentError):
    """The repository cannot be read."""

    transient = True

    def __init__(self, repository: str, reason: str) -> None:
        super().__init__(f"the repository {repository} cannot be read ({reason}): check RELEASE_REPOSITORY")
