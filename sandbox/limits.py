"""What an edition allows, and the meters that count against it (fact sheet J)."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from . import clock

DAY_S = 86_400
SLOT_S = 60
LONG_CALL_S = 20.0
LICENCES = 10
MB = 1_048_576


@dataclass(frozen=True, slots=True)
class Profile:
    """The allowances of one edition."""

    calls: int  # per rolling 24 hours, before licences add theirs
    calls_per_licence: int
    long_calls: int  # calls of 20 seconds and more at the same time
    limits: Mapping[str, int]

    @property
    def daily_calls(self) -> int:
        """The API calls of any 24 hours."""
        return self.calls + LICENCES * self.calls_per_licence


# The same in all editions. Bulk, permission sets, events and storage are counted down; what the
# rest is about (reports, e-mail, scratch orgs, ...) the local org does not do.
_EVERYWHERE = {
    "ActiveScratchOrgs": 40,
    "ConcurrentAsyncGetReportInstances": 200,
    "ConcurrentSyncReportRuns": 20,
    "DailyAsyncApexExecutions": 250_000,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyDurableGenericStreamingApiEvents": 10_000,
    "DailyDurableStreamingApiEvents": 10_000,
    "DailyGenericStreamingApiEvents": 10_000,
    "DailyScratchOrgs": 80,
    "DailyStandardVolumePlatformEvents": 25_000,
    "DailyStreamingApiEvents": 10_000,
    "DailyWorkflowEmails": 100_000,
    "DurableStreamingApiConcurrentClients": 20,
    "HourlyAsyncReportRuns": 1_200,
    "HourlyDashboardRefreshes": 200,
    "HourlyDashboardResults": 5_000,
    "HourlyDashboardStatuses": 999_999_999,
    "HourlyLongTermIdMapping": 100_000,
    "HourlyManagedContentPublicRequests": 50_000,
    "HourlyODataCallout": 20_000,
    "HourlyPublishedStandardVolumePlatformEvents": 1_000,
    "HourlyShortTermIdMapping": 100_000,
    "HourlySyncReportRuns": 500,
    "HourlyTimeBasedWorkflow": 1_000,
    "MassEmail": 5_000,
    "Package2VersionCreates": 6,
    "PermissionSets": 1_500,
    "PrivateConnectOutboundCalloutHourlyLimitMB": 0,
    "SingleEmail": 5_000,
    "StreamingApiConcurrentClients": 20,
}


def _events(*, delivered: int, published: int, data_mb: int, file_mb: int) -> dict[str, int]:
    return _EVERYWHERE | {
        "DailyDeliveredPlatformEvents": delivered,
        "DataStorageMB": data_mb,
        "FileStorageMB": file_mb,
        "HourlyPublishedPlatformEvents": published,
    }


PROFILES = {
    "developer": Profile(
        calls=15_000,
        calls_per_licence=0,
        long_calls=5,
        limits=_events(delivered=10_000, published=50_000, data_mb=5, file_mb=20),
    ),
    "enterprise": Profile(
        calls=100_000,
        calls_per_licence=1_000,
        long_calls=25,
        limits=_events(delivered=25_000, published=250_000, data_mb=10_240, file_mb=10_240),
    ),
    "unlimited": Profile(
        calls=100_000,
        calls_per_licence=5_000,
        long_calls=25,
        limits=_events(delivered=50_000, published=250_000, data_mb=10_240, file_mb=10_240),
    ),
}
DEFAULT_PROFILE = "enterprise"


def whole_mb(size: int) -> int:
    """Return bytes as megabytes, a begun one counting as a whole one."""
    return -(-size // MB)


class Meter:
    """Counts API calls against the allowance of the last 24 hours, by the org's clock."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._slots: deque[list[int]] = deque()  # [second the slot began, calls], oldest first
        self._sum = 0
        self.most = most

    @property
    def used(self) -> int:
        """The calls of the last 24 hours."""
        with self._lock:
            self._forget_old()
            return self._sum

    def count(self, calls: int = 1) -> bool:
        """Count calls; return False, counting nothing, where the allowance is used up."""
        with self._lock:
            now_s = self._forget_old()
            if self._sum >= self.most:
                return False
            self._add(calls, now_s)
            return True

    def set(self, *, most: int | None, used: int | None) -> None:
        """Set the allowance, or what is used of it as if it had all been used just now."""
        with self._lock:
            self.most = self.most if most is None else most
            if used is not None:
                self._slots.clear()
                self._sum = 0
                self._add(used, clock.epoch_s())

    def header(self) -> str:
        """Return the value of Sforce-Limit-Info."""
        return f"api-usage={self.used}/{self.most}"

    def _add(self, calls: int, now_s: int) -> None:
        if not self._slots or self._slots[-1][0] + SLOT_S <= now_s:
            self._slots.append([now_s, 0])
        self._slots[-1][1] += calls
        self._sum += calls

    def _forget_old(self) -> int:
        now_s = clock.epoch_s()
        while self._slots and self._slots[0][0] + DAY_S <= now_s:
            self._sum -= self._slots.popleft()[1]
        return now_s


class LongCalls:
    """Refuses calls while too many others have been running for too long."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, float] = {}
        self._next = 0
        self.most = most
        self.long_s = LONG_CALL_S

    def begin(self) -> int | None:
        """Count a call as running and return its number; None where it has to be refused."""
        now_s = clock.monotonic_s()
        with self._lock:
            if len(self._running) >= self.most:
                long = sum(now_s - began_s >= self.long_s for began_s in self._running.values())
                if long >= self.most:
                    return None
            self._next += 1
            self._running[self._next] = now_s
            return self._next

    def end(self, number: int) -> None:
        """Count a call as done."""
        with self._lock:
            self._running.pop(number, None)
