using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Routes;

/// <summary>A route, compiled when the configuration is applied. Immutable.</summary>
internal sealed class Route
{
    private readonly RouteConditions? _conditions;
    private readonly IRouteAction _action;
    private readonly RouteRules? _rules;
    private readonly bool _isLogged = true;

    /// <summary>Compiles a route.</summary>
    /// <param name="order">Its place in the list, from 0.</param>
    /// <param name="options">Its options, which must be valid.</param>
    /// <param name="forwarders">A forwarder for each pool, by name.</param>
    public Route(int order, HttpRouteOptions options, IReadOnlyDictionary<string, HttpForwarder> forwarders)
    {
        Order = order;
        _conditions = RouteConditions.Of(options);
        _isLogged = options.AccessLog;
        _rules = RulesOf(options, options.Name ?? $"{order + 1}");
        _action = options switch
        {
            { Redirect: { } redirect } => new RedirectAction(redirect),
            { Respond: { } respond } => new RespondAction(respond),
            { Pool: { } pool } => new ForwardAction([(forwarders[pool], 1)]),
            _ => new ForwardAction([.. options.Split.Select(side => (forwarders[side.Key], side.Value))]),
        };
        Plain = _rules is null && _isLogged && options.Pool is { } only ? forwarders[only] : null;
    }

    private Route(HttpForwarder forwarder) => (Order, Plain, _action) = (int.MaxValue, forwarder, null!);

    /// <summary>Its place among the routes.</summary>
    public int Order { get; }

    /// <summary>The forwarder, where the route changes nothing and a request goes straight to it.</summary>
    public HttpForwarder? Plain { get; }

    /// <summary>A route without conditions to a pool.</summary>
    public static Route ToPool(HttpForwarder forwarder) => new(forwarder);

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
        if (_rules is null)
        {
            return _action.InvokeAsync(input, record, null);
        }
        var request = new RoutedRequest(context, _rules, input.Client, RequestRules.IsHttps(input.Request, input.IsPeerTrusted));
        if (_rules.MaxRequestBodySize is { } max
            && context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = max;
        }
        return request.TryMakeTarget()
            ? _action.InvokeAsync(input, record, request)
            : ErrorResponse.WriteAsync(context, ForwardError.RequestHead, request.ChangeResponse);
    }

    private static RouteRules? RulesOf(HttpRouteOptions options, string name)
    {
        var rules = new RouteRules
        {
            Name = name,
            Target = TargetChange.Of(options),
            Host = options.HostHeader switch { "Client" => null, "Backend" => "", var host => host },
            RequestFields = FieldChanges.Of(options.RequestHeaders),
            ResponseFields = FieldChanges.Of(options.ResponseHeaders),
            MaxRequestBodySize = options.MaxRequestBodySize,
            ResponseTimeout = options.Timeouts.Response,
            TotalTimeout = options.Timeouts.Total,
            Attempts = options.Retry.Attempts,
        };
        var answersItself = options.Redirect is not null || options.Respond is not null; // with values of the request
        return !answersItself && rules == new RouteRules { Name = name } ? null : rules;
    }
}
