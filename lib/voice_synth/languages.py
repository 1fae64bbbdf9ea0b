"""Names of languages: a job may write a name or a code, an engine is told the English name.

A code with a region (`en-GB`) names the variety, not the language: an engine that speaks US English does not speak it.
A code without one, and `en-US`, name the language. It knows no engine.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# ISO 639 codes of what the engines here speak, and of varieties that go by a code of their own.
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "af": "Afrikaans",
        "am": "Amharic",
        "ar": "Arabic",
        "az": "Azerbaijani",
        "be": "Belarusian",
        "bg": "Bulgarian",
        "bn": "Bengali",
        "bs": "Bosnian",
        "ca": "Catalan",
        "cmn": "Chinese",
        "cs": "Czech",
        "cy": "Welsh",
        "da": "Danish",
        "de": "German",
        "el": "Greek",
        "en": "English",
        "eo": "Esperanto",
        "es": "Spanish",
        "et": "Estonian",
        "eu": "Basque",
        "fa": "Persian",
        "fi": "Finnish",
        "fr": "French",
        "ga": "Gaelic (Irish)",
        "gd": "Gaelic (Scottish)",
        "gu": "Gujarati",
        "he": "Hebrew",
        "hi": "Hindi",
        "hr": "Croatian",
        "ht": "Haitian Creole",
        "hu": "Hungarian",
        "hy": "Armenian",
        "id": "Indonesian",
        "is": "Icelandic",
        "it": "Italian",
        "ja": "Japanese",
        "ka": "Georgian",
        "kk": "Kazakh",
        "kn": "Kannada",
        "ko": "Korean",
        "ku": "Kurdish",
        "ky": "Kyrgyz",
        "la": "Latin",
        "lb": "Luxembourgish",
        "lt": "Lithuanian",
        "lv": "Latvian",
        "mi": "Māori",
        "mk": "Macedonian",
        "ml": "Malayalam",
        "mr": "Marathi",
        "ms": "Malay",
        "mt": "Maltese",
        "my": "Myanmar (Burmese)",
        "nb": "Norwegian",
        "ne": "Nepali",
        "nl": "Dutch",
        "no": "Norwegian",
        "pa": "Punjabi",
        "pl": "Polish",
        "pt": "Portuguese",
        "ro": "Romanian",
        "ru": "Russian",
        "si": "Sinhala",
        "sk": "Slovak",
        "sl": "Slovenian",
        "sq": "Albanian",
        "sr": "Serbian",
        "sv": "Swedish",
        "sw": "Swahili",
        "ta": "Tamil",
        "te": "Telugu",
        "th": "Thai",
        "tr": "Turkish",
        "tt": "Tatar",
        "uk": "Ukrainian",
        "ur": "Urdu",
        "uz": "Uzbek",
        "vi": "Vietnamese",
        "zh": "Chinese",
        "yue": "Chinese (Cantonese)",
        "en-us": "English",
        "en-gb": "English (Great Britain)",
        "pt-br": "Portuguese (Brazil)",
        "pt-pt": "Portuguese",
        "fr-fr": "French",
        "fr-be": "French (Belgium)",
        "fr-ch": "French (Switzerland)",
        "de-de": "German",
        "es-es": "Spanish",
        "es-419": "Spanish (Latin America)",
        "it-it": "Italian",
        "es-mx": "Spanish (Latin America)",
        "ja-jp": "Japanese",
        "ko-kr": "Korean",
        "nl-nl": "Dutch",
        "pl-pl": "Polish",
        "ru-ru": "Russian",
        "zh-cn": "Chinese",
        "nb-no": "Norwegian",
        "sv-se": "Swedish",
    }
)


WELL_KNOWN: Final = tuple(sorted({name for code, name in _NAMES.items() if "(" not in name}))
"""The languages that have a code here, without their varieties."""


def english_name(asked: str) -> str:
    """The English name for a code; whatever is no known code comes back without white space around it."""
    plain = asked.strip()
    return _NAMES.get(plain.casefold().replace("_", "-"), plain)


def named_in(languages: tuple[str, ...], asked: str) -> str | None:
    """The one of `languages` that is meant by a name or a code, or None."""
    wanted = english_name(asked).casefold()
    return next((language for language in languages if language.casefold() == wanted), None)
