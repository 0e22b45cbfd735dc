"""The texts and label sets of the default model's goldens, written for this project.

Invisible and combining characters are written as escapes where a reader could not see them. Word counts below are the
reference's words (a punctuation mark is a word). Each text is read alone and whole: at most 320 words and, with its
labels, 512 pieces.
"""
import unicodedata

LABEL_SETS = {
    "common": ["person", "organization", "location", "date"],
    "fine": ["city", "country", "politician", "writer", "book title", "musical instrument", "university",
             "programming language", "disease", "chemical compound", "award", "amount of money"],
    "one": ["person"],
    "odd_case": ["Name of a Person", "place or GEOGRAPHICAL area", "e-Mail Address", "Company / Organisation (any kind)"],
}

STORY = (
    "On the first Monday of October 1887 a young surveyor named Edith Harrow stepped from the night train at Carlisle with a brass level under one arm and a "
    "letter from the Northern Canal Company in her glove. The letter, signed by Sir Alfred Penrose, asked her to measure the old cut between Penrith and the "
    "Solway before winter closed the moor. She had been in Vienna until August, where Professor Anton Weiss had taught her to read a slope as other people "
    "read a face, and she did not intend to waste the lesson. Her guide was Tom Routledge, a shepherd from Shap who knew every ford of the Eden and "
    "who said little until they had crossed it. “You’ll want the Romans’ line, miss,” he told her at last; “the company’s line drowns "
    "in March.” By Thursday they had reached Long Meg, the red stone that stands above Little Salkeld, and there the weather broke. For two days they "
    "sheltered in a barn with Mrs. Oliver and her five children, who had sailed from Dublin in 1881 and had walked the rest of the way. Edith drew her map on "
    "the lid of a flour chest. When she carried it to Manchester on 3 November, the directors of the company, among them Penrose and a banker called Julius "
    "Stern, listened for an hour without a word. Then Stern laid a finger upon the blue thread she had inked from Lazonby to the sea, and asked what it would "
    "cost. “Forty thousand pounds,” said Edith, “and the goodwill of one shepherd.” They laughed, but they paid."
)

REPORT = (
    "GENEVA, 14 May 2019 - The World Health Organization and the Swiss company Novartis said on Tuesday that they would spend $250 million over five years on "
    "new drugs against malaria, a disease that killed more than 400,000 people in 2018, most of them in Nigeria, the Congo and Mozambique. The plan was "
    "announced by Tedros Adhanom Ghebreyesus and by the chief executive of Novartis, Vas Narasimhan, in a hall of the University of Geneva. Researchers at the "
    "Swiss Tropical Institute in Basel, at Makerere University in Kampala and at the University of Oxford will test a compound known as KAE609, which works "
    "where artemisinin has begun to fail. “We have no time to lose,” said Dr. Amina Okello, who has led the trials in Uganda since 2014 and who won the "
    "Kwame Nkrumah Award two years ago. Software for the project, written in Python and Rust, will be published free of charge. In Berlin the "
    "German minister for development, Gerd Müller, promised a further €30 million; in Washington, Senator Maria Cantwell asked the Gates Foundation to "
    "match the sum. Not everyone was pleased. The novelist Arundhati Roy wrote in The Guardian that such gifts “cost the givers little”, and a "
    "spokesman for Doctors Without Borders in Paris noted that chloroquine, quinine and aspirin were still missing from half of the clinics in South Sudan. "
    "Shares of Novartis rose by 1.2 percent in Zurich. The first patients will be treated in Accra in January 2020, and the results will be presented at a "
    "meeting in Singapore that autumn, the organization said. Reporting by Clara Fischer in Geneva and Peter Otieno in Nairobi; editing by Hugh Lawson."
)

DENSE = (
    "Delegates: Oluwaseun Adebayo-Okonkwo (Abeokuta), Thorbjörg Sigurðardóttir (Reykjavík), Wojciech Szczęśniak (Szczebrzeszyn), Xiuhtezcatl Roske-Martínez (Boulder), "
    "Ngozi Nwachukwu (Port Harcourt), Llywelyn ap Gruffudd (Aberystwyth), Krzysztof Brzęczyszczykiewicz (Bydgoszcz), Tuuliktar Qillaq (Iqaluit), Sivaramakrishnan Venkataraghavan "
    "(Thiruvananthapuram), Mehmet Kılıçdaroğlu (Eskişehir), Zsófia Székesfehérvári (Hódmezővásárhely), Ioannis Papadimitrakopoulos (Thessaloniki), Nguyễn Thị Ngọc Huyền (Buôn Ma Thuột), "
    "Kealiikaapunihonua Kekuaokalani (Honolulu), Þorvaldur Jökulsson (Ísafjörður) and Aleksandra Wyszyńska (Świnoujście). Sponsors: Jyväskylän Energia, Österreichische Nationalbibliothek, "
    "Société Générale, Mitsubishi Heavy Industries and Petróleos Mexicanos. Agenda for 23 September 2022: (a) methylenedioxymethamphetamine, acetylsalicylic and "
    "ethylenediaminetetraacetic acid; (b) pseudohypoparathyroidism; (c) the harpsichord of Wilhelmine von Bayreuth. Contact: s.venkataraghavan@uni-thiruvananthapuram.example. "
    "Absent: Ueli Schüpbach-Niederhäuser (Hergiswil), Mbaye Diouf N'Diaye (Ziguinchor), Iñaki Etxeberria Goikoetxea (Errenteria), Vítězslav Pospíšil (Uherské Hradiště) and "
    "Rakotomanana Andriamahefaparany (Antsiranana)."
)

# (name, text)
TEXTS = [
    ("plain", "Marie Curie moved from Warsaw to Paris in 1891 and later led the Radium Institute."),
    ("news", "Angela Merkel met Emmanuel Macron in Berlin on Friday, while Siemens and Airbus signed a contract worth $4.5 billion."),
    ("writers", "In 1818 Mary Shelley published Frankenstein; Lord Byron, then in Venice, had read it at Lake Geneva."),
    ("nested", "The University of California, Los Angeles awarded the Bank of America chair to Professor John Smith of New York City."),
    ("software", "Guido van Rossum wrote Python at CWI in Amsterdam; Graydon Hoare began Rust at Mozilla, and Bjarne Stroustrup made C++ at Bell Labs."),
    ("medicine", "Aspirin and ibuprofen were given to Mr. Jones for rheumatoid arthritis at Mayo Clinic, Rochester, in March 2020."),
    ("one_word", "Vienna"),
    ("one_letter", "x"),
    ("punctuation", "... ?! — () [] {} «» ‘’ “” · • § ¶ †"),
    ("e_mail", "Write to anna.keller@example.org or sales_team@my-shop.example (Dr. O'Neil, tel. +49 30 901820), see https://example.com/a?b=c#d."),
    ("superscripts", "E = mc² was Albert Einstein's; ½ cup, x³, H₂O, № 5, Ⅳ, ①, 10⁻⁶ m and CO₂ too."),
    ("hyphens", "The well-known Jean-Paul Sartre and the Franco-German state-of-the-art snake_case_name met -twice- in Stratford-upon-Avon-- a_b-c_d -_- e."),
    ("curly_quotes", "“I don’t think,” said Elizabeth Bennet, “that Mr. Darcy’s aunt – Lady Catherine – left Rosings on Wednesday…”"),
    ("crlf", "Dear Mr. Holmes,\r\n\r\nInspector Lestrade arrived\r\nfrom London at\r\nnoon.\r\n\tYours,\r\n\tJohn Watson\r\n"),
    ("form_feed", "CHAPTER I\x0cIn Moscow, Anna Karenina\x0bwaited.\x0c\x0cCHAPTER II\x0cCount Vronsky left\u2028for Italy\u2029in July.\x85End"),
    ("blanks", "\u00a0Barack\u00a0Obama\u2003visited\u3000Nairobi\x1cin\x1dKenya\x1eon\x1fMonday\u2009.  "),
    ("controls", "Paris\u200b saw \ufffd and \u0007 then met\u200bBerlin \u00ad \u200b\u200b before Napoleon\u00adBonaparte left \u202eRome\u202c\ufeff."),
    ("nul", "Nelson\x00 Mandela \x00 and\x1b[31m Desmond Tutu \x7f of Cape\x01Town."),
    ("hindi", "महात्मा गांधी का जन्म पोरबंदर में 2 अक्टूबर 1869 को हुआ था।"),
    ("hindi_mixed", "The poet Kabir (कबीर) lived in वाराणसी, Uttar Pradesh, before Akbar ruled in हिन्दुस्तान from Agra."),
    ("arabic", "وُلِدَ أحمد زويل في دمنهور، مصر عام ١٩٤٦ and taught at Caltech in Pasadena."),
    ("hebrew", "דָּוִד בֶּן־גּוּרְיוֹן was the first prime minister of Israel, and Golda Meir its fourth."),
    ("chinese", "鲁迅1881年生于绍兴。北京大学 invited Hu Shih to Beijing in 1917。"),
    ("japanese_korean", "東京の渋谷で村上春樹が、서울에서 한강 작가가 met Haruki Murakami in Tōkyō, ガンダム ㈱."),
    ("thai", "กรุงเทพฯ ที่ Bangkok นายกรัฐมนตรี met Aung San Suu Kyi in Yangon (ရန်ကုန်)."),
    ("cyrillic_greek", "Лев Толстой родился в Ясной Поляне; Федор Достоевский — в Москве. Ὀδυσσεύς and Σωκράτης lived in ΑΘΗΝΑΣ."),
    ("emoji", "👩‍🔬 Jane Goodall 👨‍👩‍👧‍👦 flew ✈️ to Tanzania 🇹🇿 with 👍🏽 Ella Fitzgerald ❤️‍🔥 3️⃣ times 🥹🫨!"),
    ("nfd", unicodedata.normalize("NFD", "Chloë Müller met José García in São Paulo and François Côté in Québec, près de Montréal.")),
    ("stacked_marks", "Z\u0351\u036b\u0343a\u0300\u0301\u0302lgo wrote to Søren Kierkegaard; \u0301\u0300 Ngu\u0303\u00eften Tra\u0303i o\u0302\u0300 Hanoi."),
    ("vietnamese_turkish", "Hồ Chí Minh came to Hà Nội; İsmet İnönü and Mustafa Kemal Atatürk governed in Ankara; Straße, ﬁne, ＴＯＫＹＯ, K and ſ."),
    ("special_tokens", "<<ENT>> person <<SEP>> [CLS] Anna Smith [SEP] met [MASK] and ##ing [UNK] in [PAD] Oslo [FLERT]."),
    ("long_words", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " + "ab" * 49 + "c " + "ab" * 51
     + " was founded by Johann Strauss in Linz, 0123456789012345678901234567890123456789."),
    ("astral", "𝒜lice 𝐁𝐨𝐛 met 𠮷田 (Yoshida) near \U0001d7d8\U0001d7d9 \ue000 \U0010ffff \U0001f9ff in Kyoto, \u2460\u2461 𐌰𐌱, said Grace Hopper."),
    ("lower_case", "yesterday barack obama spoke with the new york times about the nobel peace prize and his book a promised land"),
    ("upper_case", "MR. WINSTON CHURCHILL, PRIME MINISTER OF THE UNITED KINGDOM, WON THE NOBEL PRIZE IN LITERATURE IN 1953."),
    ("no_spaces", "NewYork,London;Paris/Berlin|Rome:Bonn&Co.(Zürich)+1.5%=2.0€<3£>4¥"),
    ("repeated", "Bach, Bach and Bach; Mozart or Mozart; Bach in Leipzig, Leipzig, Leipzig!"),
    ("list", "1. Apple Inc. (Cupertino)\n2. Toyota Motor Corporation (Toyota City)\n3. Nestlé S.A. (Vevey)\n\n- Tim Cook\n- Akio Toyoda\n* Mark Schneider"),
    ("story", STORY),
    ("report", REPORT),
    ("dense", DENSE),
]
