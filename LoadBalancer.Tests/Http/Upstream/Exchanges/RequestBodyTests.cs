using System.IO.Pipelines;
using LoadBalancer.Http.Upstream.Exchanges;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Tests.Http.Upstream.Exchanges;

internal sealed class RequestBodyTests
{
    // An exception would reach the code that aborted the connection, for example the sweep of all connections.
    [Test]
    public void CancelRead_RequestAborted_IsNoError() =>
        FluentActions.Invoking(() => RequestBody.CancelRead(new AbortedReader())).Should().NotThrow();

    /// <summary>What Kestrel's reader does once a request was aborted.</summary>
    private sealed class AbortedReader : PipeReader
    {
        public override void CancelPendingRead() => throw new ConnectionAbortedException();

        public override void AdvanceTo(SequencePosition consumed) => throw new NotSupportedException();

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => throw new NotSupportedException();

        public override void Complete(Exception? exception = null) => throw new NotSupportedException();

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public override bool TryRead(out ReadResult result) => throw new NotSupportedException();
    }
}
