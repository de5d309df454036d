using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// What the failure of an exchange means, and why it failed, in words that are the same for all HTTP versions. An exchange that we have
/// aborted ourselves fails with an exception that says nothing: then the cause of the abort counts.
/// </summary>
internal static class ExchangeFailure
{
    /// <summary>Why there is no response.</summary>
    /// <param name="e">How the exchange ended.</param>
    /// <param name="cause">Why it was aborted, if it was.</param>
    /// <param name="body">The request's body.</param>
    /// <param name="upload">The sending of the body.</param>
    /// <param name="timeouts">The pool's time-outs.</param>
    public static (ForwardError Error, string Reason) Of(
        Exception e, AbortCause cause, RequestBody? body, Upload? upload, TimeoutOptions timeouts)
    {
        var error = cause switch
        {
            AbortCause.Client => body?.ClientError ?? ForwardError.ClientGone,
            AbortCause.TimedOut => body is { AwaitsClient: true } ? ForwardError.RequestTimeout : ForwardError.ResponseTimeout,
            _ => e is MalformedResponseException ? ForwardError.ResponseMalformed : ForwardError.ResponseHead,
        };
        var reason = error switch
        {
            ForwardError.ClientGone => "the client went away",
            ForwardError.RequestBody => "the client's body is incomplete or malformed",
            ForwardError.RequestTooLarge => "the client's body is too large",
            ForwardError.RequestTimeout => "the client sent nothing of its body for " + Seconds(timeouts.Idle),
            ForwardError.ResponseTimeout when upload is { IsComplete: false } =>
                "it took nothing of the body for " + Seconds(timeouts.Idle),
            ForwardError.ResponseTimeout => "no answer within " + Seconds(timeouts.Response),
            _ => FailureReason.Of(e),
        };
        return (error, reason);
    }

    /// <summary>Why a response ended too early.</summary>
    /// <param name="e">How it ended.</param>
    /// <param name="cause">Why it was aborted, if it was.</param>
    /// <param name="timeouts">The pool's time-outs.</param>
    public static string OfBody(Exception e, AbortCause cause, TimeoutOptions timeouts) =>
        cause == AbortCause.TimedOut ? "no byte moved for " + Seconds(timeouts.Idle) : FailureReason.Of(e);

    private static string Seconds(TimeSpan time) => FormattableString.Invariant($"{time.TotalSeconds} s");
}
