"""What went wrong, in words that say what to do; never a traceback for a user's mistake."""

from __future__ import annotations

from botocore import exceptions as aws

from client.commands import client_command, sandbox_command

_UNUSABLE_CREDENTIALS = (
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.SSOError,
    aws.TokenRetrievalError,
    aws.LoginError,
)
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_REFUSED_KEYS = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "AuthFailure",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_THROTTLED = {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"}


class UserError(Exception):
    """One message for the person at the command line.

    Args:
        message: What was wrong, and where.
        hint: What to do about it, one line per way; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def explain(error: Exception) -> UserError | None:
    """Put an error of botocore into words.

    Args:
        error: What a boto3 call or the making of a boto3 client raised.

    Returns:
        The words, or None if the error is none of botocore's: a bug of ours, which deserves its traceback.
    """
    if isinstance(error, aws.ClientError):
        return _explain_answer(error)
    if isinstance(error, aws.BotoCoreError):
        return _explain_before_answer(error)
    if isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):
        return UserError(
            f"{error}: this is no URL to send requests to",
            "Correct or unset AWS_ENDPOINT_URL (and AWS_ENDPOINT_URL_<SERVICE>), for example http://127.0.0.1:4566.",
        )
    return None


def _explain_answer(error: aws.ClientError) -> UserError:
    """The service was reached and said no."""
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    text = str(error.response.get("Error", {}).get("Message") or error)
    if code in _EXPIRED:
        return UserError(f"The AWS credentials have expired ({code}: {text})", _get_credentials())
    if code in _REFUSED_KEYS:
        return UserError(f"AWS does not accept these credentials ({code}: {text})", _get_credentials())
    if code in _DENIED:
        return UserError(
            f"Not allowed: {error.operation_name} was denied ({text})",
            "Use credentials that may do this, or ask for the permission that the message names.",
        )
    if code in _THROTTLED:
        return UserError(
            f"Too many requests: {error.operation_name} was throttled ({text})", "Wait and try again."
        )
    return UserError(f"{error.operation_name} failed with {code}: {text}")


def _explain_before_answer(error: aws.BotoCoreError) -> UserError:
    """The request never got an answer: credentials, Region, network."""
    if isinstance(error, aws.NoCredentialsError):
        return UserError("No AWS credentials were found", _get_credentials())
    if isinstance(error, _UNUSABLE_CREDENTIALS):
        return UserError(f"The AWS credentials cannot be used: {error}", _get_credentials())
    if isinstance(error, (aws.NoRegionError, aws.InvalidRegionError)):
        return UserError(
            f"No usable AWS Region: {error}",
            f"Set AWS_REGION and AWS_DEFAULT_REGION, for example to ap-northeast-2.\n{_to_the_sandbox()}",
        )
    if isinstance(error, (aws.ProfileNotFound, aws.ConfigParseError, aws.ConfigNotFound)):
        return UserError(
            f"The AWS configuration cannot be used: {error}", "Correct AWS_PROFILE or the file it is in."
        )
    if isinstance(error, (aws.ReadTimeoutError, aws.ConnectionClosedError)):
        return UserError(
            f"No answer came: {error}", "The service, or the model behind it, took too long. Try again."
        )
    if isinstance(error, (aws.HTTPClientError, aws.ConnectionError)):
        return UserError(
            f"Cannot reach the service: {error}",
            f"If this is the sandbox, it is not running: {sandbox_command('up')}\n"
            "If this is AWS, look at the network, the proxy and the Region.",
        )
    return UserError(str(error))


def _get_credentials() -> str:
    return f"For AWS: `aws sso login`, or set AWS_PROFILE.\n{_to_the_sandbox()}"


def _to_the_sandbox() -> str:
    return f"For the sandbox: {sandbox_command('run')} -- {client_command('...')}"
