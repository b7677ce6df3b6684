"""The three venues that come with trade-worker, each over its side of the sandbox."""

from __future__ import annotations

from typing import Final

from pydantic import HttpUrl, SecretStr

from providers.binance import PROVIDER as BINANCE_PROVIDER
from providers.bybit import PROVIDER as BYBIT_PROVIDER
from providers.conformance.sandboxed import PATIENCE, SandboxVenue
from providers.conformance.venue import Doing
from providers.mexc import PROVIDER as MEXC_PROVIDER
from providers.outcomes import OutcomeClass
from providers.settings import ExchangeSettings


def _bybit(base_url: str, key: str, secret: str) -> ExchangeSettings:
    return ExchangeSettings(
        bybit_base_url=HttpUrl(base_url),
        bybit_api_key=SecretStr(key),
        bybit_api_secret=SecretStr(secret),
        exchange_request_timeout=PATIENCE,
    )


def _binance(base_url: str, key: str, secret: str) -> ExchangeSettings:
    return ExchangeSettings(
        binance_base_url=HttpUrl(base_url),
        binance_api_key=SecretStr(key),
        binance_api_secret=SecretStr(secret),
        exchange_request_timeout=PATIENCE,
    )


def _mexc(base_url: str, key: str, secret: str) -> ExchangeSettings:
    return ExchangeSettings(
        mexc_base_url=HttpUrl(base_url),
        mexc_api_key=SecretStr(key),
        mexc_secret_binding=SecretStr(secret),
        mexc_allow_opening=None,
        exchange_request_timeout=PATIENCE,
    )


BYBIT: Final = SandboxVenue(
    provider=BYBIT_PROVIDER,
    settings=_bybit,
    endpoints={
        Doing.PLACE: (("POST", "/v5/order/create"),),
        Doing.LOOK_UP: (("GET", "/v5/order/realtime"), ("GET", "/v5/order/history")),
        Doing.POSITIONS: (("GET", "/v5/position/list"),),
        Doing.SET_LEVERAGE: (("POST", "/v5/position/set-leverage"),),
        Doing.SET_MARGIN_MODE: (("POST", "/v5/account/set-margin-mode"),),
        Doing.READ_SETUP: (("GET", "/v5/account/info"),),
        Doing.INSTRUMENTS: (("GET", "/v5/market/instruments-info"),),
    },
    codes={
        OutcomeClass.AUTH: "10005",
        OutcomeClass.PARAMETER: "10001",
        OutcomeClass.FILTER: "110094",
        OutcomeClass.MARGIN: "110007",
        OutcomeClass.NOT_TRADABLE: "110074",
        OutcomeClass.REDUCE_ONLY: "110017",
        OutcomeClass.NO_POSITION: "110033",
    },
    maybe="10016",
    unchanged="110043",
    reject_reason="EC_NoEnoughBalance",
    cannot={
        "C71": "Bybit does not say that an overloaded service did nothing, so its codes for it "
        "are UNKNOWN (C59, C60)",
        "C105": "take-profit and stop-loss are attached to the order (C104)",
    },
)

BINANCE: Final = SandboxVenue(
    provider=BINANCE_PROVIDER,
    settings=_binance,
    endpoints={
        Doing.PLACE: (("POST", "/fapi/v1/order"),),
        Doing.LOOK_UP: (
            ("GET", "/fapi/v1/order"),
            ("GET", "/fapi/v1/openOrder"),
            ("GET", "/fapi/v1/allOrders"),
        ),
        Doing.POSITIONS: (("GET", "/fapi/v3/positionRisk"),),
        Doing.SET_LEVERAGE: (("POST", "/fapi/v1/leverage"),),
        Doing.SET_MARGIN_MODE: (("POST", "/fapi/v1/marginType"),),
        Doing.READ_SETUP: (("GET", "/fapi/v1/symbolConfig"), ("GET", "/fapi/v1/accountConfig")),
        Doing.INSTRUMENTS: (("GET", "/fapi/v1/exchangeInfo"),),
        Doing.PROTECT: (("POST", "/fapi/v1/algoOrder"),),
    },
    codes={
        OutcomeClass.AUTH: "-2015",
        OutcomeClass.PARAMETER: "-1102",
        OutcomeClass.FILTER: "-4164",
        OutcomeClass.MARGIN: "-2019",
        OutcomeClass.NOT_TRADABLE: "-4140",
        OutcomeClass.REDUCE_ONLY: "-2022",
        OutcomeClass.NO_POSITION: "-4509",
    },
    maybe="-1007",
    overloaded="-1008",
    reject_reason="insufficient margin",
    cannot={
        "C19": "an order as Binance shows it has no field for the reason",
        "C84": "Binance sets the leverage again and says so; it has no code for 'not modified'",
        "C104": "Binance takes no take-profit or stop-loss with an order; they are placed after "
        "its fill (C100 to C103, C105)",
    },
)

MEXC: Final = SandboxVenue(
    provider=MEXC_PROVIDER,
    settings=_mexc,
    endpoints={
        Doing.PLACE: (("POST", "/api/v1/private/order/create"),),
        Doing.LOOK_UP: (
            ("GET", "/api/v1/private/order/external/*"),
            ("GET", "/api/v1/private/order/list/*"),
        ),
        Doing.POSITIONS: (("GET", "/api/v1/private/position/open_positions"),),
        Doing.SET_LEVERAGE: (("POST", "/api/v1/private/position/change_leverage"),),
        Doing.SET_MARGIN_MODE: (("POST", "/api/v1/private/position/change_leverage"),),
        Doing.READ_SETUP: (("GET", "/api/v1/private/position/leverage"),),
        Doing.INSTRUMENTS: (("GET", "/api/v1/contract/detail"),),
    },
    codes={
        OutcomeClass.AUTH: "703",
        OutcomeClass.PARAMETER: "600",
        OutcomeClass.FILTER: "2015",
        OutcomeClass.MARGIN: "2005",
        OutcomeClass.NOT_TRADABLE: "1002",
        OutcomeClass.REDUCE_ONLY: "2008",
        OutcomeClass.NO_POSITION: "2009",
    },
    maybe="500",
    overloaded="801",
    reject_reason="2",
    cannot={
        "C84": "MEXC documents no answer for an unchanged leverage; it is read first (C82, C83)",
        "C105": "take-profit and stop-loss are attached to the order (C104)",
    },
)

VENUES: Final = (BYBIT, BINANCE, MEXC)
