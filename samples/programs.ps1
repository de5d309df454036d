# What the run.ps1 scripts share, to be dot-sourced: builds programs, starts them in the background, and stops them. Projects are folders
# relative to the current one. For Windows PowerShell 5.1 and PowerShell 7.
$ErrorActionPreference = 'Stop'
$processes = New-Object System.Collections.ArrayList # that were started, in that order

function Assert-Free($ports, $address = '127.0.0.1') {
    foreach ($port in $ports) {
        $probe = New-Object System.Net.Sockets.TcpClient
        try { $probe.Connect($address, $port) } catch { continue } finally { $probe.Dispose() }
        Write-Host "port $port of $address is taken by $(Get-Owner $port)"
        exit 1
    }
}

# Who listens at a port, as far as this user may know that.
function Get-Owner($port) {
    $owner = $null
    if (Get-Command Get-NetTCPConnection -ErrorAction SilentlyContinue) {
        $listener = Get-NetTCPConnection -LocalPort $port -State Listen -ErrorAction SilentlyContinue | Select-Object -First 1
        if ($null -ne $listener) { $owner = $listener.OwningProcess }
    }
    elseif (Get-Command lsof -ErrorAction SilentlyContinue) {
        $owner = lsof -nP -t "-iTCP:$port" '-sTCP:LISTEN' | Select-Object -First 1
    }
    if (-not $owner) { return 'another program (one of another user, perhaps: an administrator can see which)' }
    $process = Get-Process -Id $owner -ErrorAction SilentlyContinue
    "process $owner ($(if ($null -ne $process) { $process.ProcessName } else { 'which has just ended' }))"
}

function Build-Programs($projects, $remark = '') {
    foreach ($project in $projects) {
        Write-Host "building $(Split-Path $project -Leaf)$remark"
        $output = dotnet build $project --configuration Release
        if ($LASTEXITCODE -ne 0) { $output | Out-Host; exit 1 }
    }
}

# A program that was built; the caller starts it, and reads its standard output.
function New-Program($project, $arguments = '') {
    $folder = (Get-Location).Path
    $program = New-Object System.Diagnostics.Process
    $program.StartInfo.FileName = 'dotnet'
    $dll = Join-Path $folder "$project/bin/Release/net10.0/$(Split-Path $project -Leaf).dll"
    $program.StartInfo.Arguments = "`"$dll`" $arguments"
    $program.StartInfo.WorkingDirectory = $folder
    $program.StartInfo.UseShellExecute = $false
    $program.StartInfo.RedirectStandardOutput = $true
    $program
}

# Starts a program and prints its lines with its name in front.
function Start-Program($name, $project, $arguments = '') {
    $program = New-Program $project $arguments
    $program.StartInfo.RedirectStandardError = $true
    $print = { if ($null -ne $EventArgs.Data) { Write-Host "[$($Event.MessageData)] $($EventArgs.Data)" } }
    Register-ObjectEvent -InputObject $program -EventName OutputDataReceived -MessageData $name -Action $print | Out-Null
    Register-ObjectEvent -InputObject $program -EventName ErrorDataReceived -MessageData $name -Action $print | Out-Null
    $program.Start() | Out-Null
    $processes.Add($program) | Out-Null
    $program.BeginOutputReadLine()
    $program.BeginErrorReadLine()
    $program
}

# Until the program ends. Waiting for an event that never comes lets PowerShell print what the programs write.
function Wait-Program($program) {
    while (-not $program.HasExited) {
        Wait-Event -SourceIdentifier 'Programs.Never' -Timeout 1 | Out-Null
    }
}

# Waits until an address is answered with 200, for about 30 s. False where it is not, or the program has ended before.
function Wait-Answer($program, $address) {
    for ($i = 0; $i -lt 30; $i++) {
        if ($program.HasExited) { return $false }
        try {
            $request = [System.Net.WebRequest]::Create($address)
            $request.Proxy = $null
            $request.Timeout = 1000
            $request.GetResponse().Close()
            return $true
        }
        catch { Wait-Event -SourceIdentifier 'Programs.Never' -Timeout 1 | Out-Null }
    }
    Write-Host "$address does not answer"
    return $false
}

# To be called in a finally block. After Ctrl+C, which the programs receive too, they have five seconds to stop by themselves; where the
# script is done ($done), nothing has told them to stop, and they are killed at once.
function Stop-Programs($done) {
    foreach ($process in $processes) {
        if (-not $process.HasExited -and ($done -or -not $process.WaitForExit(5000))) { $process.Kill() }
    }
}
