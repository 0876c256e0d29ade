"""SNS's subscription confirmations, as shown to operators.

A confirmation has a URL whose token confirms the subscription, for three days. The operator needs
the URL, and it gives access to nothing else, so it is logged. Only URLs of SNS are logged:
otherwise any sender could show operators a link of its choice. The service never opens the URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from attachery_service.domain.object_created import Subscription

_TOPIC: Final = re.compile(
    r"arn:aws[a-z-]{0,20}:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_.-]{1,256}"
)
_URL: Final = re.compile(
    r"https://sns\.[a-z0-9-]{1,40}\.amazonaws\.(?:com|com\.cn|eu)/\?[A-Za-z0-9=&%:._-]{1,2000}"
)


def subscription(content: Mapping[str, Any], *, has_ended: bool) -> Subscription:
    """Parses a confirmation's body; omits fields that SNS would not send in this form."""
    return Subscription(
        topic=_matching(_TOPIC, content.get("TopicArn")),
        confirm_url=_matching(_URL, content.get("SubscribeURL")),
        has_ended=has_ended,
    )


def _matching(form: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None
