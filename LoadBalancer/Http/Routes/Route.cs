using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Guards;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Pools.Statistics;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Routes;

/// <summary>A route, compiled when the configuration is applied. Immutable.</summary>
internal sealed class Route
{
    private readonly RouteConditions? _conditions;
    private readonly RouteGuards? _guards;
    private readonly IRouteAction _action;
    private readonly RouteRules? _rules;
    private readonly GuardRejections _rejections;
    private readonly bool _isLogged = true;

    /// <summary>Compiles a route.</summary>
    /// <param name="order">Its place in the list, from 0.</param>
    /// <param name="options">Its options, which must be valid.</param>
    /// <param name="listener">Its listener's options.</param>
    /// <param name="parts">What it uses.</param>
    public Route(int order, HttpRouteOptions options, HttpListenerOptions listener, RouteParts parts)
    {
        (Order, Name, _rejections) = (order, options.Name ?? $"{order + 1}", parts.Rejections);
        _conditions = RouteConditions.Of(options);
        Statistics = parts.Statistics(Name);
        Path = options.Path ?? options.PathPattern;
        _guards = RouteGuards.Of(listener, options, parts.Limiters, parts.Authenticators);
        _isLogged = options.AccessLog;
        _rules = RulesOf(options, Name, listener);
        var mirror = options.Mirror is { } copies
            ? new Mirror(parts.Forwarders[copies.Pool].Mirrors, copies.Share, Name, parts.Mirrored)
            : null;
        _action = options switch
        {
            { Redirect: { } redirect } => new RedirectAction(redirect),
            { Respond: { } respond } => new RespondAction(respond, parts.Files),
            { Pool: { } pool } => new ForwardAction([(parts.Forwarders[pool], 1)], mirror),
            _ => new ForwardAction([.. options.Split.Select(side => (parts.Forwarders[side.Key], side.Value))], mirror),
        };
        Plain = _rules is null && _guards is null && _isLogged && options.Pool is { } only ? parts.Forwarders[only] : null;
    }

    private Route(HttpListenerOptions listener, RouteParts parts)
    {
        (Order, _rejections) = (int.MaxValue, parts.Rejections);
        Statistics = listener.Routes.Count > 0 ? parts.Statistics("") : null;
        _guards = RouteGuards.Of(listener, null, parts.Limiters, parts.Authenticators);
        _rules = RulesOf(new HttpRouteOptions(), "", listener);
        var forwarder = parts.Forwarders[listener.Pool];
        _action = new ForwardAction([(forwarder, 1)]);
        Plain = _rules is null && _guards is null ? forwarder : null;
    }

    /// <summary>Its place among the routes.</summary>
    public int Order { get; }

    /// <summary>Its name; null for requests that no route takes.</summary>
    public string? Name { get; }

    /// <summary>The forwarder, where the route changes nothing and a request goes straight to it.</summary>
    public HttpForwarder? Plain { get; }

    /// <summary>The path, or pattern, that it is for; null where it has none.</summary>
    public string? Path { get; }

    /// <summary>Counts its requests; null where the listener has no routes.</summary>
    public RouteStatistics? Statistics { get; }

    /// <summary>What becomes of requests that no route takes: they go to the listener's pool.</summary>
    public static Route Default(HttpListenerOptions listener, RouteParts parts) => new(listener, parts);

    /// <summary>Whether its conditions besides host and path hold.</summary>
    public bool Matches(in RouteInput input) => _conditions?.Match(input) != false;

    /// <summary>Does what the route says.</summary>
    /// <param name="input">The request.</param>
    /// <param name="record">The request's line in the access log, where there is one.</param>
    public Task InvokeAsync(RouteInput input, AccessRecord? record)
    {
        var context = input.Request.HttpContext;
        if (record is not null)
        {
            record.IsDropped = !_isLogged;
        }
        var client = input.Client;
        var request = _rules is null ? null
            : new RoutedRequest(context, _rules, client, RequestRules.IsHttps(input.Request, input.IsPeerTrusted));
        if (_guards is null)
        {
            return ActAsync(input, record, request);
        }
        if (_guards.Check(input.Request, client, out var admission) is { } refusal)
        {
            return RejectAsync(context, request, refusal);
        }
        return _guards.Authenticator is { } authenticator ? AuthenticateAsync(authenticator, input, record, request!, admission)
            : admission.IsFree ? ActAsync(input, record, request)
            : ActAsync(input, record, request, admission);
    }

    private async Task AuthenticateAsync(
        IAuthenticator authenticator, RouteInput input, AccessRecord? record, RoutedRequest request, GuardAdmission admission)
    {
        using var ofAddress = admission;
        var context = input.Request.HttpContext;
        var result = await authenticator.CheckAsync(context, input.Client);
        if (result.Identity is not { } identity)
        {
            if (result.Answer is { } answer)
            {
                _rejections.Count(context, Name ?? "", ForwardError.Unauthenticated);
                await answer.WriteAsync(context, request.ChangeResponse);
                return;
            }
            context.Response.Headers.WWWAuthenticate = result.Challenge;
            await RejectAsync(context, request, new Refusal(result.Error, result.RetryAfter));
            return;
        }
        request.Identity = identity;
        if (_guards!.CheckUser(input.Request, identity.User, out var ofUser) is { } refusal)
        {
            await RejectAsync(context, request, refusal);
            return;
        }
        await ActAsync(input, record, request, ofUser);
    }

    private Task RejectAsync(HttpContext context, RoutedRequest? request, Refusal refusal)
    {
        _rejections.Count(context, Name ?? "", refusal.Error);
        return ErrorResponse.WriteAsync(context, refusal.Error, request is null ? null : request.ChangeResponse, refusal.RetryAfter);
    }

    private async Task ActAsync(RouteInput input, AccessRecord? record, RoutedRequest? request, GuardAdmission admission)
    {
        using (admission)
        {
            await ActAsync(input, record, request);
        }
    }

    private Task ActAsync(RouteInput input, AccessRecord? record, RoutedRequest? request)
    {
        var context = input.Request.HttpContext;
        if (_rules?.MaxRequestBodySize is { } max
            && context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = max;
        }
        return request is null || request.TryMakeTarget()
            ? _action.InvokeAsync(input, record, request)
            : ErrorResponse.WriteAsync(context, ForwardError.RequestHead, request.ChangeResponse);
    }

    private RouteRules? RulesOf(HttpRouteOptions options, string name, HttpListenerOptions listener)
    {
        var rules = new RouteRules
        {
            Name = name,
            Target = TargetChange.Of(options),
            Host = options.HostHeader switch { "Client" => null, "Backend" => "", var host => host },
            RequestFields = FieldChanges.Of(options.RequestHeaders),
            Via = ViaName.Of(listener.Via),
            ResponseFields = FieldChanges.Of(options.ResponseHeaders),
            Compression = ResponseCompression.Of(options.Compression ?? listener.Compression),
            MaxRequestBodySize = options.MaxRequestBodySize,
            ResponseTimeout = options.Timeouts.Response,
            TotalTimeout = options.Timeouts.Total,
            Attempts = options.Retry.Attempts,
        };
        // A redirect and a response have values of the request; an identity changes its fields; a copy is made of it.
        var isNeeded = options.Redirect is not null || options.Respond is not null || options.Mirror is not null
            || _guards?.Authenticator is not null;
        return !isNeeded && rules == new RouteRules { Name = name } ? null : rules;
    }
}
