"""Queries in the manner of those that people publish for hunting, detection and monitoring.

Written for these tests: they hold the forms, habits and oddities seen in the field, and none of
the queries themselves.
"""

from __future__ import annotations

QUERIES: tuple[str, ...] = (
    """
    // Sign-ins from a country never seen for the account
    let lookback = 30d;
    let recent = 1d;
    let known =
        SigninLogs
        | where TimeGenerated between (ago(lookback) .. ago(recent))
        | where ResultType == 0
        | extend Country = tostring(LocationDetails.countryOrRegion)
        | distinct UserPrincipalName, Country;
    SigninLogs
    | where TimeGenerated > ago(recent)
    | where ResultType == 0
    | extend Country = tostring(LocationDetails["countryOrRegion"])
    | where isnotempty(Country)
    | join kind=leftanti known on UserPrincipalName, Country
    | summarize Start = min(TimeGenerated), End = max(TimeGenerated), IPs = make_set(IPAddress, 100)
        by UserPrincipalName, Country
    | order by Start desc
    """,
    r"""
    DeviceProcessEvents
    | where Timestamp > ago(7d)
    | where FileName in~ ("powershell.exe", "pwsh.exe")
    | where ProcessCommandLine has_any ("-enc", "-EncodedCommand", "FromBase64String")
        and not(ProcessCommandLine has_all ("Defender", "health"))
    | where InitiatingProcessFileName !in~ ('msiexec.exe', "sccm.exe")
    | where ProcessCommandLine matches regex @"(?i)\s-e(nc|ncodedcommand)?\s+[A-Za-z0-9+/=]{20,}"
    | extend Encoded = extract(@"\s+([A-Za-z0-9+/]{20}\\S+$)", 1, ProcessCommandLine)
    | extend Decoded = replace_string(base64_decode_tostring(Encoded), "\0", "")
    | project-reorder Timestamp, DeviceName, AccountName, Decoded, *
    | top 100 by Timestamp
    """,
    """
    let feed = externaldata(Address:string, Added:datetime)
    [h@"https://example.org/list.csv"]
    with (format="csv", ignoreFirstRecord=True);
    let hits = feed | where Address matches regex "(^[0-9]+)" | project Address;
    CommonSecurityLog
    | where DeviceVendor =~ "Contoso" and DestinationIP in (hits) or SourceIP in ((hits | take 10))
    | summarize count(), dcount(DestinationIP), arg_max(TimeGenerated, *) by SourceIP
    | where count_ > 10
    | sort by count_
    """,
    """
    union isfuzzy=true withsource=Source
        (OfficeActivity | where Operation in ("New-InboxRule", "Set-InboxRule") | extend Kind = "rule"),
        (AuditLogs | where OperationName has "consent" | extend Kind = "consent"),
        AADNonInteractive*,
        Custom_CL
    | mv-expand Parameters = todynamic(Parameters)
    | extend Name = tostring(Parameters.Name), Value = tostring(Parameters.['Value'])
    | summarize make_bag(bag_pack(Name, Value)), take_any(Kind) by UserId, bin(TimeGenerated, 1h)
    """,
    """
    Perf
    | where ObjectName == "Processor" and CounterName == "% Processor Time" and InstanceName == "_Total"
    | where TimeGenerated >= startofday(ago(7d)) and TimeGenerated < startofday(now())
    | summarize avg(CounterValue), percentile(CounterValue, 95) by bin(TimeGenerated, 5m), Computer
    | render timechart with (title="CPU", ytitle="%", ymax=100)
    """,
    """
    let window=14d; let bucket=1h;
    requests
    | where timestamp > ago(window)
    | make-series Count=count() default=0 on timestamp from ago(window) to now() step bucket by cloud_RoleName
    | extend (anomalies, score, baseline) = series_decompose_anomalies(Count, 1.5, -1, 'linefit')
    | mv-expand timestamp to typeof(datetime), Count to typeof(long), anomalies to typeof(double) limit 100000
    | where anomalies <> 0
    | render anomalychart with(anomalycolumns=anomalies, title="x")
    """,
    """
    Heartbeat
    | summarize LastCall = max(TimeGenerated) by Computer, ['Resource Group']=ResourceGroup
    | where LastCall < ago(15m)
    | extend ["Minutes since"] = datetime_diff('minute', now(), LastCall)
    | project-away *Group
    | limit 50
    """,
    """
    SecurityEvent
    | where EventID == 4625 and AccountType == 'User'
    | extend Reason = case(
        SubStatus == '0xc000006a', 'bad password',
        SubStatus == '0xc0000064', "unknown user",
        SubStatus == "0xc0000234", 'locked',
        strcat('other: ', SubStatus))
    | summarize FailureCount=count(), FirstSeen=min(TimeGenerated) by Account, Reason, bin(TimeGenerated,1d)
    | where FailureCount >= 10 and Account !endswith "$" and Account !contains 'svc_'
    """,
    """
    Syslog
    | parse-where SyslogMessage with * "from " Address:string " port " Port:int " " *
    | parse kind=regex flags=Ui SyslogMessage with "user=" User "," *
    | evaluate ipv4_lookup(Ranges, Address, Network, return_unmatched = true)
    | lookup kind=leftouter (Assets | project Address, Owner) on Address
    | invoke FileProfile("SHA256", 1000)
    """,
    """
    let suspicious = dynamic(["a.exe", "b.exe", {"name": "c.exe", "score": -1.5, "tags": [null, true]}]);
    let check = (T:(FileName:string), minimum:long = 3) {
        T | summarize n = count() by FileName | where n >= minimum
    };
    let asView = view () { DeviceFileEvents | where ActionType == "FileCreated" };
    check(asView() | where FileName has_any (suspicious))
    | join kind = inner hint.strategy = shuffle (DeviceInfo) on $left.FileName == $right.DeviceName
    | mv-apply tag = suspicious to typeof(string) on (
        where tag startswith "a" | summarize tags = make_list(tag))
    | as hint.materialized=true Result
    """,
    """
    search in (SecurityAlert, Security*) "ransom*" and (Computer:"srv" or * has "lsass")
    | where TimeGenerated > ago(1d)
    | summarize count() by $table, Type
    """,
    """
    #connect cluster('help').database('Samples')
    set query_take_max_records = 1000; set notruncation;
    declare query_parameters (State:string = "TEXAS", Since:datetime = datetime(2007-01-01));
    StormEvents
    | where State == State and StartTime >= Since
    | where DamageProperty between (1 .. 1e6) and EventType !in ("Flood", 'Hail')
    | top-nested 3 of EventType with others = "rest" by sum(DamageProperty),
        top-nested of State by count() desc
    | project Duration = EndTime - StartTime, EventType, Loss = toreal(DamageProperty) / 1000.0 * -1 % 7
    """,
    """
    AzureDiagnostics
    | where Category=="ApplicationGatewayAccessLog" and toint(httpStatus_d)>=400
    | extend url_s = strcat(@"https://", host_s, requestUri_s)
    | summarize AggregatedValue=count() by bin(TimeGenerated, {TimeRange:grain}), Resource
    """.replace("{TimeRange:grain}", "5m"),
    """
    let t = datatable(type:string, count:long, kind:dynamic, ts:datetime)
    [
        "a", 1, dynamic({"k": [1, 2]}), datetime(2024-01-01T00:00:00Z),
        'b', -2, dynamic(null), datetime(null), // trailing comma follows
    ];
    t | where type == "a" or count != 0 | project type, count, k = kind.k[0], last = kind["k"][-1];
    t | count;
    """,
    """
    T
    | partition hint.strategy=native by Name (top 1 by Timestamp desc)
    | serialize rank = row_number(), prevTime = prev(Timestamp, 1)
    | extend gap = iff(isnull(prevTime), 0s, Timestamp - prevTime), text = ```multi
    line```
    | scan with_match_id=Session declare (sum:long = 0) with (
        step start output=last: gap > 30m => sum = 1;
        step next: gap <= 30m => sum = start.sum + 1;
    )
    | project-rename Count = sum | project-keep Session, C* | sample 10
    """,
    """
    Edges
    | make-graph Source --> Target with Nodes on Id
    | graph-match cycles=none (attacker)-[hop*1..5]->(victim)<--(other)
        where attacker.Kind == "user" and all(hop, Risk > 3)
        project attacker.Name, Path = map(hop, Target), victim.Name
    """,
    """
    Logs
    | where Level == 'Error' and TimeStamp > ago(2h) and Message !startswith "healthy" // noise
    // | where Source == "x"
    | extend Parts = split(Message, ":"), Ratio = todouble(Value) / 100, Day = dayofweek(TimeStamp) / 1d
    | extend Second = tostring(Parts[1]),
        Props = parse_json(tostring(Properties)).customDimensions.["User Id"]
    | summarize hint.shufflekey=Second Errors = countif(Level == "Error"), p = percentiles(Ratio, 50, 95, 99)
        by Second, Hour = bin(TimeStamp, 1h)
    | reduce by Second with threshold=0.35
    """,
)
"""Query texts."""
