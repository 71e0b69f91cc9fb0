from typing import Any

class MetricsTracker:
    def get_last_value(self, name: str) -> Any: ...
