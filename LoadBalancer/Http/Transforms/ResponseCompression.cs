using System.IO.Compression;
using LoadBalancer.Configuration.Options;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Transforms;

/// <summary>
/// Which responses of a route are compressed (RFC 9110 section 8.4), compiled. The framework's providers compress. Its middleware would
/// wrap the response's body, and so the chunks and trailers that a relay writes itself.
/// </summary>
internal sealed class ResponseCompression
{
    // What depends on the bytes of the body, or promises parts of it.
    private static readonly string[] OfTheBody =
        [HeaderNames.AcceptRanges, HeaderNames.ContentMD5, "Digest", "Content-Digest", "Repr-Digest"];

    // More at once would hold up the other requests of an event loop.
    private const int LargeBody = 128 * 1024;

    private readonly MediaTypes _types;
    private readonly long _minSize;
    private readonly ICompressionProvider[] _providers; // the preferred one first
    private readonly string[] _names;

    private ResponseCompression(CompressionOptions options)
    {
        (_types, _minSize) = (new MediaTypes(options.Types), Math.Max(1, options.MinSize));
        var level = options.Level switch
        {
            CompressionLevelName.Optimal => CompressionLevel.Optimal,
            CompressionLevelName.SmallestSize => CompressionLevel.SmallestSize,
            _ => CompressionLevel.Fastest,
        };
        _providers =
        [
            new BrotliCompressionProvider(Options.Create(new BrotliCompressionProviderOptions { Level = level })),
            new GzipCompressionProvider(Options.Create(new GzipCompressionProviderOptions { Level = level })),
        ];
        _names = [.. _providers.Select(provider => provider.EncodingName)];
        IsSlow = options.Level == CompressionLevelName.SmallestSize;
    }

    /// <summary>Whether it takes so long that an event loop must not do it.</summary>
    public bool IsSlow { get; }

    /// <summary>Compiles valid options; null where nothing is compressed.</summary>
    public static ResponseCompression? Of(CompressionOptions? options) =>
        options is null || ReferenceEquals(options, CompressionOptions.None) ? null : new ResponseCompression(options);

    /// <summary>Changes the head of a response, which must be complete, where the response is to be compressed.</summary>
    /// <returns>What compresses the body; null where the body is sent as it is.</returns>
    public ICompressionProvider? Begin(HttpContext context)
    {
        var response = context.Response;
        var headers = response.Headers;
        if (!CanCompress(context.Request, response))
        {
            return null;
        }
        if (!HasToken(headers.Vary, HeaderNames.AcceptEncoding) && !HasToken(headers.Vary, "*"))
        {
            headers.Append(HeaderNames.Vary, HeaderNames.AcceptEncoding);
        }
        if (response.StatusCode == StatusCodes.Status304NotModified)
        {
            WeakenIfKnown(headers, context.Request.Headers.IfNoneMatch);
            return null;
        }
        var chosen = context.Request.Method == HttpMethods.Head ? -1
            : AcceptedCodings.Choose(context.Request.Headers.AcceptEncoding, _names);
        if (chosen < 0)
        {
            return null;
        }
        headers.ContentEncoding = _names[chosen];
        response.ContentLength = null;
        foreach (var name in OfTheBody)
        {
            headers.Remove(name);
        }
        Weaken(headers);
        return _providers[chosen];
    }

    /// <summary>Compresses a whole body.</summary>
    public async ValueTask<byte[]> CompressAsync(byte[] body, ICompressionProvider coding)
    {
        return IsSlow || body.Length > LargeBody ? await Task.Run(Compress) : Compress();

        byte[] Compress()
        {
            using var compressed = new MemoryStream();
            using (var encoder = coding.CreateStream(compressed))
            {
                encoder.Write(body, 0, body.Length);
            }
            return compressed.ToArray();
        }
    }

    private bool CanCompress(HttpRequest request, HttpResponse response)
    {
        var headers = response.Headers;
        var status = response.StatusCode;
        return status is >= 200 and not (204 or 205 or 206)
            && headers.ContentEncoding.Count == 0 && headers.ContentRange.Count == 0
            && IsOfType(headers.ContentType, status)
            && (response.ContentLength is null || response.ContentLength >= _minSize || status == StatusCodes.Status304NotModified)
            && !HasToken(headers.CacheControl, "no-transform")
            && !HasToken(request.Headers.CacheControl, "no-transform");
    }

    // A 304 mostly has no type; what it stands for may have been compressed.
    private bool IsOfType(StringValues contentType, int status)
    {
        if (contentType.Count == 0)
        {
            return status == StatusCodes.Status304NotModified;
        }
        ReadOnlySpan<char> type = contentType.ToString();
        return _types.Match(type)
            && !type.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) // It compresses its messages itself.
            && (!type.StartsWith("text/event-stream", StringComparison.OrdinalIgnoreCase) || _types.Names(type));
    }

    private static bool HasToken(StringValues field, ReadOnlySpan<char> token)
    {
        foreach (var line in field)
        {
            foreach (var range in line.AsSpan().Split(','))
            {
                if (line.AsSpan()[range].Trim().Equals(token, StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }
        }
        return false;
    }

    // The compressed body is not byte for byte what the tag stands for (RFC 9110 section 8.8.3.3).
    private static void Weaken(IHeaderDictionary headers)
    {
        var tag = headers.ETag.ToString();
        if (tag.StartsWith('"'))
        {
            headers.ETag = "W/" + tag;
        }
        else if (!tag.StartsWith("W/", StringComparison.Ordinal))
        {
            headers.Remove(HeaderNames.ETag); // It is none.
        }
    }

    // The client asks for the tag that it got from here.
    private static void WeakenIfKnown(IHeaderDictionary headers, StringValues ifNoneMatch)
    {
        var tag = headers.ETag.ToString();
        if (tag.StartsWith('"') && ifNoneMatch.ToString().Contains("W/" + tag, StringComparison.Ordinal))
        {
            headers.ETag = "W/" + tag;
        }
    }
}
