using System.Net.Sockets;
using System.Runtime.Versioning;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>The files of Unix sockets that are listened on.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
internal sealed class UnixSocketFileTests
{
    private const UnixFileMode ForAll = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    private TemporaryDirectory _directory = null!;
    private ListenSockets _sockets = null!;
    private string _path = "";
    private EndpointAddress _address = null!;

    [SetUp]
    public void SetUp()
    {
        (_directory, _sockets) = (new TemporaryDirectory(), new ListenSockets());
        _path = _directory.File("lb.sock");
        _address = new EndpointAddress("unix", _path, EndpointAddress.NoPort);
    }

    [TearDown]
    public void TearDown()
    {
        _sockets.Dispose();
        _directory.Dispose();
    }

    [Test]
    public void Dispose_OwnFile_IsRemoved()
    {
        var socket = Open();
        File.Exists(_path).Should().BeTrue();

        socket.Dispose();

        File.Exists(_path).Should().BeFalse();
    }

    [Test]
    public void Dispose_SocketIsUsedByAnotherListener_KeepsTheFile()
    {
        var before = Open();
        _sockets.Reserve(_address);
        before.Dispose();
        File.Exists(_path).Should().BeTrue();
        var after = Open();
        after.Socket.Should().BeSameAs(before.Socket);

        after.Dispose();

        File.Exists(_path).Should().BeFalse();
    }

    [Test]
    public void Dispose_AnotherHasPutAFileThereSince_KeepsIt()
    {
        var socket = Open();
        File.Delete(_path);
        using var other = ListenSocket.Bind(_address.UnixEndPoint, null);

        socket.Dispose();

        File.Exists(_path).Should().BeTrue();
    }

    [Test]
    public void Dispose_SocketWasHandedOver_KeepsTheFile()
    {
        var socket = Open();
        _sockets.OwnFiles.Should().Equal(_path);

        _sockets.DisownAll();
        socket.Dispose();

        File.Exists(_path).Should().BeTrue();
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Dispose_SocketOfAnotherProcess_RemovesTheFileOnlyWhereItWasHandedOver(bool isHandedOver)
    {
        using var theirs = Open();
        using var ours = new ListenSockets();
        ours.Offer(new Socket(new SafeSocketHandle(theirs.Socket.Handle, ownsHandle: false)));
        var socket = ours.Open(SocketType.Stream, _address.UnixEndPoint, ForAll);
        File.GetUnixFileMode(_path).Should().NotBe(ForAll, "the other process still serves there, or its service manager does");
        if (isHandedOver)
        {
            ours.Own([_path]);
            File.GetUnixFileMode(_path).Should().Be(ForAll);
        }

        socket.Dispose();

        File.Exists(_path).Should().Be(!isHandedOver);
    }

    [Test]
    public void Open_NobodyListensAnyMore_ReplacesTheFile()
    {
        var dead = Open();
        _sockets.DisownAll();
        dead.Dispose();

        using var socket = Open();

        Connect();
    }

    [Test]
    public void Open_SomebodyListens_SaysWhoAndLeavesTheFile()
    {
        using var living = Open();
        using var others = new ListenSockets();

        WhyNot(() => others.Open(SocketType.Stream, _address.UnixEndPoint)).Should().Be("the socket is taken by this process");

        Connect();
    }

    [Test]
    public void Open_QueueOfTheOtherIsFull_IsTakenToo()
    {
        using var living = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        living.Bind(_address.UnixEndPoint);
        living.Listen(0);
        using var waits = Connect();

        WhyNot(Open).Should().Be("the socket is taken by another program");
    }

    [Test]
    public void Open_FileThatIsNoSocket_IsLeftAlone()
    {
        File.WriteAllText(_path, "precious");

        WhyNot(Open).Should().Be($"{_path} is there, and is no socket; remove it, or choose another path");

        File.ReadAllText(_path).Should().Be("precious");
    }

    [Test]
    public void Open_LinkToASocket_IsLeftAlone()
    {
        File.CreateSymbolicLink(_path, _directory.File("elsewhere"));

        WhyNot(Open).Should().Contain("is no socket");

        File.ResolveLinkTarget(_path, false).Should().NotBeNull();
    }

    [Test]
    public void Open_NoDirectory_SaysWhich()
    {
        _address = _address with { Host = _directory.File("none/lb.sock") };

        WhyNot(Open).Should().Be($"the directory {_directory.File("none")} is not there; create it first");
    }

    [Test]
    public void Open_Mode_SaysWhoMayConnect()
    {
        using (Open())
        {
            File.GetUnixFileMode(_path).Should().Be(UnixSocketFile.DefaultMode);
        }
        using var socket = _sockets.Open(SocketType.Stream, _address.UnixEndPoint, ForAll);

        File.GetUnixFileMode(_path).Should().Be(ForAll);
    }

    [Test]
    public void Open_SocketThatIsKept_TakesTheNewMode()
    {
        using var before = Open();
        _sockets.Reserve(_address, mode: ForAll);
        File.GetUnixFileMode(_path).Should().Be(UnixSocketFile.DefaultMode, "nothing has changed yet");

        using var after = _sockets.Open(SocketType.Stream, _address.UnixEndPoint, ForAll);

        File.GetUnixFileMode(_path).Should().Be(ForAll);
    }

    [Test]
    public void Open_NameWithoutFile_LeavesNone()
    {
        _address = _address with { Host = "@" + Path.GetFileName(Path.GetDirectoryName(_path)) };

        using var socket = Open();

        Connect();
        _sockets.OwnFiles.Should().BeEmpty();
        using var others = new ListenSockets();
        WhyNot(() => others.Open(SocketType.Stream, _address.UnixEndPoint)).Should().Be("the socket is taken by another program");
    }

    [TestCase("660", true)]
    [TestCase("0777", true)]
    [TestCase("0", false)]
    [TestCase("1660", false)]
    [TestCase("0680", false)]
    [TestCase("rw-", false)]
    [TestCase("", false)]
    public void Parse_Mode_IsOctal(string text, bool isValid) => (UnixSocketMode.Parse(text) is not null).Should().Be(isValid);

    private ListenSocket Open() => _sockets.Open(SocketType.Stream, _address.UnixEndPoint);

    private Socket Connect()
    {
        var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(_address.UnixEndPoint);
        return client;
    }

    private static string WhyNot(Func<ListenSocket> open) =>
        ListenAddress.WhyNot(open.Should().Throw<SocketException>().Which);
}
