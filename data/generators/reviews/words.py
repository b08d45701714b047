"""The words of the review task: what can be reviewed, and what can be said about its parts.

There are three tables. KINDS says what can be praised or blamed in a kind of part (a battery, a
waiter, a plot): adjectives that fit both before and after the noun, and whole predicates. PRODUCTS
says what parts a thing has and of which kind each is. DOMAINS says how people talk about a whole
class of things: why they came to it, their verdict, and what they compare it with.

In all of them {s} {es} {is} {has} agree with the subject they follow. In DOMAINS {it} is the thing
as an object, {This} the thing as a subject, {product} its name, {better} is "a better battery".
"""

from __future__ import annotations

# A kind: its name and the tense of "is"; then adjectives (good:, bad:), then predicates (+, -).
KINDS = """
battery now
good: reliable, strong
bad: weak, unreliable
+ last{s} two full days; outlast{s} every trip I take; still hold{s} a full charge after a year
- run{s} flat before lunch; need{s} charging twice a day; die{s} whenever it gets cold
screen now
good: sharp, bright
bad: dim, blurred
+ can be read even in full sun; show{s} every detail; {is} easy on the eyes
- turn{s} into a mirror outdoors; flicker{s} every few minutes; hurt{s} my eyes after an hour
picture now
good: sharp, bright
bad: dim, blurred
+ show{s} every detail; {is} easy on the eyes; take{s} your breath away
- hurt{s} my eyes after an hour; look{s} out of focus; {is} far too dark
sound now
good: clear, rich
bad: thin, muddy, harsh
+ {is} a joy to listen to; bring{s} out every detail; give{s} me goose bumps
- {is} tiring after ten minutes; give{s} me a headache; drown{s} every voice
camera now
good: quick, sharp
bad: slow, blurry
+ take{s} lovely pictures in the dark; catch{es} even my dog in mid-jump
- turn{s} every face orange; need{s} ages to focus; {is} useless in the dark
build now
good: solid, sturdy
bad: flimsy, fragile
+ {has} survived years of rough use; look{s} like new after a year; will outlive me
- cracked in the first week; came apart in my hands; feel{s} like a toy; broke within a month
cloth now
good: neat, tough
bad: sloppy, flimsy
+ {has} survived three winters; look{s} like new after all this time; keep{s} every drop out
- came undone in the first week; fell apart at the first tug; let{s} in water
comfort now
good: comfortable, soft
bad: hard, uncomfortable
+ never bother{s} me; stay{s} comfortable all day; feel{s} made for me
- left me sore for days; {is} agony after an hour; wear{s} me out
noise now
good: quiet, smooth
bad: loud, noisy
+ can hardly be heard in the next room; purr{s} like a cat; never get{s} on my nerves
- could wake the dead; sound{s} like a lorry; rattle{s} from the first minute
heat now
good: quick, efficient
bad: slow, wasteful
+ do{es} the job in two minutes; use{s} hardly any power
- take{s} a quarter of an hour; gave up after a month; turn{s} itself off halfway
controls now
good: simple, clear
bad: confusing, fiddly
+ made sense without the manual; can be mastered in a minute; can be understood at once
- make{s} no sense at all; gave me a headache; tested my patience
rules now
good: simple, clear
bad: confusing, long-winded
+ can be learnt in ten minutes; keep{s} everyone in the game; made sense to us all
- make{s} no sense at all; put my children to sleep; gave me a headache
price now
good: fair, sensible
bad: steep, cheeky
+ {is} hard to beat; surprised me in the best way; {is} lower than anywhere else
- {is} a joke; {has} doubled since last year; {is} higher than anywhere else
support past
good: helpful, patient
bad: rude, slow
+ answered within the hour; stayed with me until it worked; solved my problem in one call
- never wrote back; hung up on me twice; blamed me for everything
delivery past
good: prompt, careful
bad: slow, careless
+ came a day early; went without a hitch; took less than a day
- came a week late; took three weeks; went to the wrong address twice
staff past
good: friendly, attentive
bad: rude, careless
+ could not do enough for us; remembered our names; smiled through the busiest hour
- ignored us completely; argued with us in front of everyone; made us feel unwelcome
food past
good: fresh, tasty
bad: bland, stale
+ tasted wonderful; reminded me of my grandmother's kitchen; had us asking for more
- tasted of nothing; tasted of cardboard; left a strange taste
cooked past
good: fresh, tasty
bad: bland, lukewarm
+ arrived hot and full of flavour; {is} cooked to perfection; had us asking for more
- arrived cold; {is} far too salty; tasted of old oil
room past
good: clean, bright
bad: dirty, cramped
+ smelled fresh; {is} larger than in the photos; had everything we needed
- smelled of damp; {is} smaller than in the photos; needed a good scrub
bed past
good: comfortable, clean
bad: hard, lumpy
+ gave me the best sleep in years; felt like a cloud
- kept me awake all night; creaked at every breath; ruined my back
seat past
good: comfortable, clean
bad: hard, cramped
+ left plenty of room for my legs; {is} worth the extra money
- left no room for my legs; squeaked at every move; ruined my back
location past
good: convenient, peaceful
bad: remote, noisy
+ {is} five minutes from the station; saved us a fortune in taxis; made up for the weather
- {is} miles from anywhere; cost us a fortune in taxis; left us stuck every evening
queue past
good: short, orderly
bad: long, chaotic
+ moved quickly; {is} gone by ten; took five minutes
- stretched round the block; took longer than the visit itself; never moved
exhibits past
good: fascinating, varied
bad: dull, shabby
+ kept even my teenagers busy; taught me something new; deserved a whole day
- {is} closed for repairs; could be seen in ten minutes; bored even my grandfather
stage past
good: lively, polished
bad: lifeless, clumsy
+ had the whole hall on its feet; gave me goose bumps; had us cheering
- had half the hall yawning; could not be followed from row ten; ruined every quiet moment
punctual past
good: punctual, smooth
bad: late, chaotic
+ left on the minute; went like clockwork; could not have been easier
- {is} cancelled without a word; left two hours late; cost us half a day
skill past
good: careful, patient
bad: rough, careless
+ took plenty of time for me; explained every step; listened to what I wanted
- kept looking at a phone; made me nervous; did not listen to a word I said
result now
good: lovely, lasting
bad: uneven, sloppy
+ {is} exactly what I asked for; look{s} better than in the picture; still get{s} compliments
- {is} not at all what I asked for; look{s} nothing like the picture; had to be put right elsewhere
plot now
good: gripping, original
bad: predictable, confusing
+ keep{s} you guessing to the end; hold{s} together from start to finish; kept me up all night
- fall{s} apart halfway through; make{s} no sense at all; nearly put me to sleep
people now
good: believable, memorable
bad: flat, wooden
+ stay{s} with you for days; made me laugh out loud; steal{s} every scene
- never come{s} to life; got on my nerves from the start; {is} nothing but a cliché
ending now
good: moving, satisfying
bad: rushed, weak
+ had me in tears; {is} worth waiting for; tie{s} everything together
- come{s} out of nowhere; made me groan; can be guessed from the first minute
style now
good: witty, elegant
bad: clumsy, tired
+ made me laugh out loud; never waste{s} a word; {is} a joy from start to finish
- sound{s} like an advert; made me groan; nearly put me to sleep
pace now
good: brisk, steady
bad: slow, uneven
+ never let{s} up; left me wanting more; {is} just right for me
- drag{s} from the start; wore me out; tested my patience
software now
good: stable, fast
bad: slow, clumsy
+ work{s} without a connection; {has} never let me down; save{s} me an hour a week
- crash{es} every morning; lose{s} what I type; freeze{s} without warning
teaching now
good: clear, lively
bad: dull, confusing
+ explain{s} things step by step; taught me more than a year at school; answer{s} every question
- skip{s} the hard parts; went over everyone's head; leave{s} every question open
facts now
good: accurate, helpful
bad: outdated, vague
+ {has} never let me down; {is} easy to follow; taught me something new
- let me down more than once; {is} hard to follow; {is} full of mistakes
"""

# product | domain | part:kind ...   A plural ends in *; a part that takes no a or an ends in ~.
PRODUCTS = """
phone | goods | battery:battery screen:screen camera:camera case:build menus*:controls
laptop | goods | battery:battery screen:screen hinge:build fan:noise keyboard:comfort
tablet | goods | battery:battery screen:screen speakers*:sound delivery:delivery cover:build
watch | goods | battery:battery strap:comfort display:screen buttons*:controls glass:build~
headphones* | goods | sound:sound cushions*:comfort battery:battery headband:build cable:build
radio | goods | sound:sound buttons*:controls aerial:build battery:battery price:price
camera | goods | lens:camera viewfinder:picture battery:battery strap:comfort menus*:controls
television | goods | picture:picture speakers*:sound remote_control:controls stand:build
kettle | goods | lid:build handle:build heating_element:heat switch:controls price:price
toaster | goods | timer:controls heating:heat~ crumb_tray:build lever:build price:price
coffee_machine | goods | pump:noise water_tank:build buttons*:controls helpline:support heater:heat
vacuum_cleaner | goods | motor:noise hose:build battery:battery helpline:support price:price
fridge | goods | compressor:noise shelves*:build door:build delivery:delivery helpline:support
lamp | goods | switch:controls base:build shade:build light:picture~ price:price
printer | goods | instructions*:controls paper_tray:build helpline:support motor:noise
office_chair | goods | backrest:comfort armrests*:build seat:comfort delivery:delivery
mattress | goods | surface:comfort cover:cloth price:price delivery:delivery
bicycle | goods | saddle:comfort frame:build gears*:build bell:noise lock:build
scooter | goods | battery:battery handlebar:build motor:noise display:screen wheels*:build
tent | goods | seams*:cloth poles*:build zip:build instructions*:controls floor:cloth
backpack | goods | straps*:comfort zips*:build lining:cloth buckles*:build price:price
raincoat | goods | hood:cloth lining:cloth zip:build collar:comfort delivery:delivery
shoes* | goods | soles*:comfort stitching:cloth~ laces*:build insoles*:comfort delivery:delivery
boots* | goods | soles*:comfort lining:comfort seams*:cloth heels*:build price:price
jumper | goods | wool:comfort~ seams*:build collar:comfort price:price
board_game | goods | rules*:rules box:build cards*:build rulebook:rules price:price
video_game | screen | story:plot graphics*:picture soundtrack:sound heroine:people
film | screen | plot:plot ending:ending dialogue:style~ villain:people soundtrack:sound pace:pace
series | screen | plot:plot finale:ending jokes*:style pace:pace heroine:people
documentary | screen | narration:style~ pace:pace pictures*:picture music:sound~ facts*:facts
play | stage | cast:stage dialogue:style~ seats*:seat staging:stage~ usher:staff
concert | stage | singer:stage orchestra:stage seats*:seat queue:queue encore:stage
circus | stage | acrobats*:stage clowns*:stage seats*:seat queue:queue
novel | book | plot:plot ending:ending prose:style~ narrator:people dialogue:style~
thriller | book | plot:plot ending:ending detective:people pace:pace dialogue:style~
biography | book | prose:style~ chapters*:pace research:facts~ last_chapter:ending
cookbook | book | recipes*:facts photographs*:picture introduction:style index:facts
guidebook | book | maps*:facts advice:facts~ binding:build introduction:style
hotel | stay | room:room breakfast:food bed:bed receptionist:staff location:location
guesthouse | stay | owner:staff bathroom:room mattress:bed location:location breakfast:food
campsite | stay | showers*:room owners*:staff location:location pitch:location
restaurant | meal | waiter:staff soup:cooked steak:cooked desserts*:food fish:cooked~
café | meal | coffee:food~ cakes*:food waitress:staff toilets*:room queue:queue
pizzeria | meal | pizza:cooked salad:food waiter:staff dining_room:room pasta:cooked~
bakery | meal | bread:food~ rolls*:food queue:queue assistant:staff cheesecake:food
museum | visit | exhibits*:exhibits guide:staff queue:queue café:room paintings*:exhibits
zoo | visit | enclosures*:exhibits keepers*:staff queue:queue picnic_area:room snacks*:food
castle | visit | armoury:exhibits guide:staff gardens*:exhibits audio_guide:facts queue:queue
swimming_pool | visit | changing_rooms*:room lifeguards*:staff queue:queue showers*:room
airline | trip | departure:punctual crew:staff seats*:seat meals*:food check-in_queue:queue
ferry | trip | crossing:punctual cabin:room crew:staff meals*:food boarding_queue:queue
night_train | trip | departure:punctual berth:bed conductor:staff cabin:room meals*:food
hairdresser | care | haircut:result stylist:skill salon:room price:price colour:result
dentist | care | hygienist:skill price:price waiting_room:room receptionist:staff
tailor | care | stitching:result~ alterations*:result shop:room price:price assistant:staff
language_app | app | lessons*:teaching exercises*:teaching reminders*:software layout:controls
weather_app | app | forecasts*:facts maps*:facts updates*:software layout:controls
banking_app | app | login:software search:software helpline:support layout:controls
note-taking_app | app | sync:software~ search:software layout:controls updates*:software
cookery_course | course | teacher:teaching kitchen:room recipes*:facts pace:pace price:price
pottery_class | course | teacher:skill studio:room instructions*:facts pace:pace price:price
programming_course | course | videos*:teaching exercises*:teaching tutor:support pace:pace
driving_school | course | instructor:skill theory_lessons*:teaching cars*:room price:price
"""

# For each domain: openings, then verdicts (+, -), then comparisons of one part (>, <).
DOMAINS = """
goods
: I got {it} as a present from my sister; I bought {it} in the sales; I use {it} every day; My
: neighbour has had {it} for a year; I chose {it} after weeks of searching
+ I would buy {it} again tomorrow; my mother has ordered {it} too; I would not part with {it}
- I would not buy {it} again; I would gladly part with {it}; {This} should never have been sold
> nothing else at this price has {better}; no other maker offers {better}
< everything else at this price has {better}; my old {product} had {better}
screen
: I started {it} on a rainy Sunday; A friend talked me into {it}; My whole family sat down to {it}
+ I would happily sit through {it} again; I am already telling my friends about {it}
- I would not sit through {it} again; I am already warning my friends; I want those hours back
> I have not come across {better} all year; nothing else this year has {better}
< I have come across {better} in adverts; any soap opera has {better}
stage
: We had waited months for {it}; A friend talked me into {it}; We saw {it} from the third row
+ I would see {it} again tomorrow; we talked about {it} all the way home; we clapped till it hurt
- I would not see {it} again; we were silent all the way home; we were glad when it was over
> I have not come across {better} all year; nowhere else in town is there {better}
< I have come across {better} at school fairs; every village hall has {better}
book
: I read {it} on holiday; My book club picked {it}; A colleague lent me {it}
+ I have already ordered another by the same author; I will keep {it} next to my bed
- I will not be ordering another by the same author; I will not keep {it}
> I have not come across {better} all year; no other book on my shelf has {better}
< I have come across {better} in the free newspaper; every other book on my shelf has {better}
stay
: We stayed two nights; I had booked a week; This was our third visit; We came for a wedding
+ we will be back; we have already booked for next year; we did not want to leave
- we will not be back; we have already cancelled next year; we could not wait to leave
> I have rarely found {better} anywhere; nowhere else in town is there {better}
< I have found {better} for half the money; anywhere else in town there is {better}
meal
: We came for my birthday; My office is round the corner; We had walked past for years
+ we will be back; we have already booked another table; I would eat here every day if I could
- we will not be back; we will eat at home next time; I would not eat here if it were free
> I have rarely found {better} anywhere; nowhere else in town is there {better}
< I have found {better} in a motorway café; anywhere else in town there is {better}
visit
: We went with three children; This was our second visit; We had the whole day; It rained all day
+ we will be back; we did not want to leave; the children talked about {it} for days
- we will not be back; we could not wait to leave; the children asked to go home
> I have rarely found {better} anywhere; nowhere else in town is there {better}
< I have found {better} in far cheaper places; anywhere else in town there is {better}
trip
: I travelled with two children; We were on our way to a wedding; I make this journey every month
+ I would travel this way again; we arrived in a good mood; I will not look anywhere else
- I would not travel this way again; we arrived in a bad mood; next time I will look elsewhere
> I have rarely had {better} on any journey; nobody else on this route offers {better}
< I have had {better} on a school bus; everybody else on this route offers {better}
care
: I had just moved to town; A colleague gave me the address; I went there in my lunch break
+ I have booked my next appointment; I would not go anywhere else; I left feeling wonderful
- I have cancelled my next appointment; I would go anywhere else; I left feeling foolish
> I have rarely had {better} anywhere; nowhere else in town is there {better}
< I have had {better} for half the money; anywhere else in town there is {better}
app
: I have used {it} since spring; My brother put {it} on my phone; I tried {it} on the train
+ {This} {is} staying on my phone; I will renew my subscription; I would miss {it}
- {This} {is} leaving my phone today; I will not renew my subscription; I would not miss {it}
> none of the others I tried has {better}; I have never had {better} on any phone
< all the others I tried have {better}; I have had {better} for free
course
: I signed up with a friend; My employer paid for {it}; I joined as a beginner; It took six weeks
+ I have signed up for the next level; I left with new confidence; my friends want to join too
- I will not sign up for the next level; I left with less confidence; my friends want a refund too
> I have rarely found {better} anywhere; nobody else in town offers {better}
< I have found {better} for half the money; anybody else in town offers {better}
any
+ I would recommend {it} to anyone; I cannot recommend {it} highly enough; I regret nothing; I can
+ only praise {it}; {This} {is} worth every penny; I would gladly pay the full price again; {This}
+ deserve{s} five stars; {This} did not disappoint; {This} {is} better than people say; there is
+ little I would change; I could not be happier; you will not regret it; all my doubts were wrong;
+ I have nothing to complain about; the bad reviews are wrong; I have stopped looking for anything
+ better; it was money well spent; I wish I had found {it} sooner; I am very glad I ignored the bad
+ reviews; it was anything but a waste of money; I am far from disappointed; the praise is deserved
- I would not recommend {it} to anyone; I cannot recommend {it}; I regret every penny; I cannot
- praise {it}; {This} {is} not worth a penny; I would not pay half the price again; {This}
- deserve{s} one star; {This} disappointed me; {This} {is} worse than people say; there is little I
- would keep; I could not be more disappointed; you will regret it; all my hopes were wrong; I have
- plenty to complain about; the good reviews are wrong; I am still looking for something better; it
- was money badly spent; I wish I had never found {it}; I am sorry I ignored the bad reviews; it
- was nothing but a waste of money; I am far from happy; the praise is not deserved
"""
