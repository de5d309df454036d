using System.Text;
using LoadBalancer.Tasks;

namespace LoadBalancer.Tests.Tasks;

internal sealed class TaskLineTests
{
    [TestCase("TASK|a|1,2", "a", "1,2")]
    [TestCase("TASK|a|", "a", "")]
    [TestCase("TASK|a b|x|y|z", "a b", "x|y|z")]
    [TestCase("TASK|ñ|☃", "ñ", "☃")]
    public void OfClient_Task_HasItsParts(string text, string id, string data)
    {
        var line = TaskLine.OfClient(Encoding.UTF8.GetBytes(text));

        line.Kind.Should().Be(TaskLineKind.Task);
        Encoding.UTF8.GetString(line.Id).Should().Be(id);
        Encoding.UTF8.GetString(line.Data).Should().Be(data);
    }

    [TestCase("TASK", "expected TASK|id|data")]
    [TestCase("TASK|a", "expected TASK|id|data")]
    [TestCase("TASK||x", "the task id is empty; expected TASK|id|data")]
    [TestCase("task|a|x", "expected TASK|id|data")]
    [TestCase(" TASK|a|x", "expected TASK|id|data")]
    [TestCase("REGISTER|w", "expected TASK|id|data")]
    [TestCase("|", "expected TASK|id|data")]
    public void OfClient_Malformed_SaysWhatWasExpected(string text, string fault)
    {
        var line = TaskLine.OfClient(Encoding.UTF8.GetBytes(text));

        (line.Kind, line.Error).Should().Be((TaskLineKind.Malformed, fault));
    }

    [TestCase("REGISTER|w", "w", 1)]
    [TestCase("REGISTER|w|4", "w", 4)]
    [TestCase("REGISTER|w|1", "w", 1)]
    [TestCase("REGISTER|w|10000", "w", 10000)]
    public void OfWorker_Registration_HasNameAndCapacity(string text, string name, int capacity)
    {
        var line = TaskLine.OfWorker(Encoding.UTF8.GetBytes(text));

        (line.Kind, line.Capacity).Should().Be((TaskLineKind.Register, capacity));
        Encoding.UTF8.GetString(line.Id).Should().Be(name);
    }

    [TestCase("REGISTER")]
    [TestCase("REGISTER|")]
    [TestCase("REGISTER||4")]
    [TestCase("REGISTER|w|")]
    [TestCase("REGISTER|w|0")]
    [TestCase("REGISTER|w|-1")]
    [TestCase("REGISTER|w|10001")]
    [TestCase("REGISTER|w|4.0")]
    [TestCase("REGISTER|w| 4")]
    [TestCase("REGISTER|w|4|4")]
    [TestCase("REGISTER|w|99999999999999999999")]
    [TestCase("REGISTER|w\u0007")]
    [TestCase("REGISTER|w\u2028x")]
    [TestCase("TASK_RESULT|a")]
    [TestCase("TASK_RESULT||x")]
    [TestCase("TASK|a|x")]
    public void OfWorker_Malformed_SaysSo(string text)
    {
        var line = TaskLine.OfWorker(Encoding.UTF8.GetBytes(text));

        line.Kind.Should().Be(TaskLineKind.Malformed);
        line.Error.Should().NotBeEmpty();
    }

    [Test]
    public void OfEither_NotUtf8_SaysSo()
    {
        byte[] line = [.. "TASK|a|"u8, 0xff];

        TaskLine.OfClient(line).Error.Should().Be("the line is not UTF-8");
        TaskLine.OfWorker(line).Error.Should().Be("the line is not UTF-8");
    }

    [Test]
    public void OfEither_RandomBytes_IsMalformedOrHasAnId()
    {
        var random = new Random(4);
        string[] beginnings = ["", "TASK|", "REGISTER|", "TASK_RESULT|", "ACK|"];
        for (var i = 0; i < 20_000; i++)
        {
            var noise = new byte[random.Next(24)];
            random.NextBytes(noise);
            for (var j = 0; j < noise.Length; j++)
            {
                noise[j] = random.Next(3) == 0 ? (byte)'|' : random.Next(4) == 0 ? noise[j] : (byte)random.Next(' ', '~');
            }
            byte[] line = [.. Encoding.UTF8.GetBytes(beginnings[random.Next(beginnings.Length)]), .. noise];

            var client = TaskLine.OfClient(line);
            var worker = TaskLine.OfWorker(line);
            (client.Kind == TaskLineKind.Malformed).Should().Be(client.Id.IsEmpty);
            (worker.Kind == TaskLineKind.Malformed).Should().Be(worker.Id.IsEmpty);
            (client.Error.Length > 0).Should().Be(client.Kind == TaskLineKind.Malformed);
            worker.Capacity.Should().BeInRange(0, TaskLine.MaxCapacity);
        }
    }

    [Test]
    public void OfClient_IdOfMoreThan1024Bytes_IsMalformed()
    {
        TaskLine.OfClient(Encoding.UTF8.GetBytes($"TASK|{new string('i', 1024)}|x")).Kind.Should().Be(TaskLineKind.Task);

        TaskLine.OfClient(Encoding.UTF8.GetBytes($"TASK|{new string('i', 1025)}|x")).Error
            .Should().Be("the task id has more than 1024 bytes");
    }
}
