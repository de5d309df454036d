using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Acme;

namespace LoadBalancer.Tests.Acme;

/// <summary>What becomes of a name when its files are not as they should be.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcmeStoreTests : AcmeKeeperFixture
{
    private IEnumerable<string> FileNames => Directory.GetFileSystemEntries(Options.Folder).Select(Path.GetFileName).OfType<string>()
        .Where(name => name != $"{Name}.lock");

    [Test]
    public async Task Order_AccountKeyCannotBeRead_GoesOnWhenItCan()
    {
        Directory.CreateDirectory(AccountFile);
        await KeepUntilAsync(() => IsLogged("none could be got"));

        Directory.Delete(AccountFile);
        await UntilAsync(() => File.Exists(Certificate), TimeSpan.FromSeconds(10));
    }

    [Test]
    public async Task Start_CertificateCannotBeRead_OrdersNothingUntilItCan()
    {
        Directory.CreateDirectory(Certificate);
        Start();
        for (var i = 0; i < 5; i++)
        {
            await SleepsAsync();
            Clock.Advance(TimeSpan.FromMinutes(1));
        }

        await SleepsAsync();
        Authority.Requests.Should().BeEmpty("what is there may be good");
        Warnings.Should().ContainSingle().Which.Should().Contain("cannot be read");
        Notes.Should().ContainSingle().Which.Should().Contain("cannot be read");

        Directory.Delete(Certificate);
        await UntilAsync(() => File.Exists(Certificate), TimeSpan.FromSeconds(10));
    }

    [Test]
    public async Task Start_LastAttemptCannotBeRead_OrdersNothing()
    {
        Directory.CreateDirectory(AttemptFile);
        Start();
        for (var i = 0; i < 5; i++)
        {
            await SleepsAsync();
            Clock.Advance(TimeSpan.FromMinutes(1));
        }

        await SleepsAsync();
        Authority.Requests.Should().BeEmpty("it may say that nothing may be ordered yet");
        Warnings.Should().ContainSingle().Which.Should().Contain("cannot be read");
    }

    [Test]
    public async Task Order_CertificateCannotBeWritten_IsTriedAgainAndLeavesNothingBehind()
    {
        Authority.Refuse = path =>
        {
            if (path == "finalize")
            {
                Directory.CreateDirectory(Certificate);
            }
            return null;
        };
        await KeepUntilAsync(() => IsLogged("none could be got"));
        FileNames.Should().BeEquivalentTo("account.key", $"{Name}.json", $"{Name}.pem");

        Authority.Refuse = _ => null;
        Directory.Delete(Certificate);
        await UntilAsync(() => File.Exists(Certificate), TimeSpan.FromSeconds(10));
    }

    [Test]
    public async Task Renew_FilesAreLostAgainAndAgain_OrdersNoMoreThanOnceAMinute()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var begin = Clock.GetUtcNow();
        for (var orders = 2; orders < 5; orders++)
        {
            await SleepsAsync();
            File.Delete(Certificate);
            File.Delete(AttemptFile);
            await UntilAsync(() => Log.Lines.Count(line => line.Contains("has issued one")) == orders, TimeSpan.FromSeconds(30));
        }

        (Clock.GetUtcNow() - begin).Should().BeGreaterThan(TimeSpan.FromMinutes(3));
    }

    [Test]
    public async Task Save_FilesOfACrash_AreRemovedWhenTheyAreOld()
    {
        Directory.CreateDirectory(Options.Folder);
        var old = Path.Combine(Options.Folder, "loadbalancer-new-1");
        var young = Path.Combine(Options.Folder, "loadbalancer-new-2");
        await File.WriteAllTextAsync(old, "half");
        await File.WriteAllTextAsync(young, "another process writes it");
        File.SetLastWriteTimeUtc(old, TimeProvider.System.GetUtcNow().UtcDateTime.AddHours(-2));

        await KeepUntilAsync(() => IsLogged("has issued one"));

        FileNames.Should().BeEquivalentTo("account.key", $"{Name}.json", $"{Name}.pem", "loadbalancer-new-2");
    }

    [Test]
    [Platform(Exclude = "Win")]
    public async Task Start_FilesWereCopiedWithOtherModes_AreForTheirOwnerOnlyAgain()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        string[] files = [Certificate, AttemptFile, AccountFile];
        const UnixFileMode Wide = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        if (OperatingSystem.IsWindows())
        {
            return;
        }
        foreach (var file in files)
        {
            File.SetUnixFileMode(file, Wide);
        }

        Start();
        await SleepsAsync();
        new AcmeStore(Options).FindAccountKey(out _)!.Dispose();

        foreach (var file in files)
        {
            File.GetUnixFileMode(file).Should().Be(UnixFileMode.UserRead | UnixFileMode.UserWrite, file);
        }
    }

    [Test]
    public async Task Register_AuthorityRefusesEverybody_KeepsTheAccount()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var account = await File.ReadAllTextAsync(AccountFile);
        await Stop();
        File.Delete(Certificate);
        File.Delete(AttemptFile);
        Authority.Refuse = path => path == "new-account" ? new("unauthorized", 403, null, "not from your address") : null;

        Start();
        await UntilAsync(() => Attempts == 3, TimeSpan.FromSeconds(10));
        await SleepsAsync();

        (await File.ReadAllTextAsync(AccountFile)).Should().Be(account);
        FileNames.Should().BeEquivalentTo("account.key", $"{Name}.json");
        Warnings.Should().ContainSingle().Which.Should().Contain("not from your address");
    }

    [Test]
    public async Task Register_AccountIsDeletedTwice_KeepsBothOldKeys()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        for (var i = 0; i < 2; i++)
        {
            await Stop();
            File.Delete(Certificate);
            File.Delete(AttemptFile);
            var left = 1;
            Authority.Refuse = path => path == "new-account" && left-- > 0 ? new("accountDoesNotExist") : null;
            var issued = i + 2;
            await KeepUntilAsync(() => Log.Lines.Count(line => line.Contains("has issued one")) == issued);
        }

        FileNames.Should().BeEquivalentTo("account.key", "account.key.old", "account.key.old2", $"{Name}.json", $"{Name}.pem");
    }

    [Test]
    public async Task Order_TwoListenersWithOneStore_HaveOneCertificate()
    {
        Start(Options, Options with { Names = [Name, "other.test"] });
        await UntilAsync(() => File.Exists(Options.FileOf("other.test")) && File.Exists(Certificate), TimeSpan.FromSeconds(1));
        await SleepsAsync();

        Authority.OrderedNames.Should().BeEquivalentTo(Name, "other.test");
    }

    [Test]
    public async Task Order_AnotherProcessOrdersIntoTheSameStore_WaitsAndServesWhatItHasGot()
    {
        var claim = new AcmeStore(Options).TryClaim(Name)!;
        Start();
        await UntilAsync(() => IsLogged("it is to be ordered, and is not now: another process orders it into the same store"), null);
        for (var i = 0; i < 3; i++)
        {
            await SleepsAsync();
            Clock.Advance(TimeSpan.FromMinutes(1));
        }
        await SleepsAsync();
        Authority.Requests.Should().BeEmpty();
        Warnings.Should().ContainSingle();

        claim.Dispose();
        await UntilAsync(() => File.Exists(Certificate), TimeSpan.FromSeconds(10));
        Authority.Orders.Should().Be(1);
    }

    [TestCase("https://CA.test/a/b", "ca.test_a_b")]
    [TestCase("https://ca.test/A/b/", "ca.test_A_b")]
    [TestCase("https://ca.test/a_b", "ca.test_a%5Fb")]
    [TestCase("https://ca.test:8443/a?b", "ca.test_8443_a%3Fb")]
    [TestCase("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org_directory")]
    public void Folder_OfADirectory_IsOfNoOtherOne(string directory, string folder) =>
        Path.GetFileName((Options with { Directory = directory }).Folder).Should().Be(folder);

    [Test]
    public async Task Find_CertificateOfAnotherName_IsNotUsed()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        File.Copy(Certificate, Options.FileOf("other.test"));

        using var found = new AcmeStore(Options).Find("other.test", out var fault);

        found.Should().BeNull();
        fault.Should().Contain("is not for 'other.test'");
        using var own = X509Certificate2.CreateFromPemFile(Certificate);
        own.MatchesHostname(Name).Should().BeTrue();
    }
}
