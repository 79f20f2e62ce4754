"""The names of what a value may go through on its way in; what they do is in `sync/apply`."""

from collections.abc import Mapping

TRANSFORMS: Mapping[str, str] = {
    "account_by_sfid": "The hub's account with this Salesforce id; an unknown one changes nothing.",
    "account_kind": "Business or Residential as the kind of a customer; new ones are business.",
    "brand_by_key": "The brand with this key; empty is the default brand.",
    "country": "Two-letter code of a country written in words of seven languages, or as a code.",
}
