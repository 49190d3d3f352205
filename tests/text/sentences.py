"""Sentences in many scripts, with the odd characters that tokenizers stumble over."""

import random

TEXTS = (
    "The quick brown fox jumps over the lazy dog and runs away from 24 hounds. It's don't can't (really)!",
    "Der schnelle braune Fuchs springt über den faulen Hund; größer, Straße, Äpfel, naïve Café, Cafe\u0301.",
    "El niño come una manzana ¿verdad? ¡Sí! L'été dernier, où êtes-vous allés, çà et là?",
    "Быстрая коричневая лиса прыгает через ленивую собаку. Щука, ёжик и объезд.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول. مرحبا بالعالم",
    "敏捷的棕色狐狸跳过了懒狗。日本語のテスト、カタカナとひらがな。 빠른 갈색 여우가 뛴다.",
    "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है। สุนัขจิ้งจอกสีน้ำตาล שועל חום מהיר",
    "Η γρήγορη καφέ αλεπού πηδάει. ქართული ენა հայերեն լեզու አማርኛ ቋንቋ தமிழ் மொழி",
    "Tiếng Việt có dấu: ngủ, đường, mưa. Şüphesiz İstanbul ılık. Žluťoučký kůň úpěl.",
)
ODD = (*"ﬁＡ１…–—“”‘’№℃½²ß\u00a0\u3000\u200b\ufeff\t\n☃€$#@ﷺﾊﾝｶｸⅧ①\u2028\x07", "👩‍👩‍👧", "🇩🇪", "e\u0301")


def sentences(count: int, *, seed: int = 0, odd: float = 0.3) -> list[str]:
    """Sentences of words from all texts, every third with odd characters, missing and double spaces."""
    choice = random.Random(seed)
    words = [word for text in TEXTS for word in text.split()]
    made = []
    for _ in range(count):
        picked = [choice.choice(words) for _ in range(choice.randrange(12))]
        if choice.random() < odd:
            picked.insert(choice.randrange(len(picked) + 1), "".join(choice.choices(ODD, k=choice.randrange(1, 5))))
        made.append("".join(word + choice.choice((" ", " ", " ", "  ", "")) for word in picked))
    return made
