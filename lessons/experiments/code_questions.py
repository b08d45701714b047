"""Descriptions of a line of code, with the line: the code task of lesson 5's few-shot exam.

Four neighbours are offered to each other as answers, so they need different things. The last
eight are for the prompts.
"""

_PAIRS = """
Return the length of the list. | return len(items)
Open the file for reading. | open(path, 'r')
Sort the names. | names.sort()
Import the math module. | import math
Print the result. | print(result)
Close the socket. | socket.close()
Raise a TypeError. | raise TypeError
Convert the string to an integer. | int(string)
Add the value to the set. | values.add(value)
Define a function. | def function():
Return True if the key is in the dictionary. | return key in dictionary
Split the line at each comma. | line.split(',')
Get the current time. | time.time()
Join the thread. | thread.join()
Delete the attribute. | delattr(object, name)
Return the absolute value. | return abs(x)
Write the text to the file. | file.write(text)
Remove the last item of the list. | items.pop()
Create an empty dictionary. | table = {}
Wait for one second. | time.sleep(1)
Round the number to two digits. | round(number, 2)
Make the text lower case. | text.lower()
Loop over the lines of the file. | for line in file:
Do nothing. | pass
Return the largest of the values. | return max(values)
Delete the directory. | os.rmdir(directory)
Replace tabs by spaces. | text.replace('\\t', ' ')
Check that the argument is a string. | isinstance(argument, str)
Count the zeros in the list. | items.count(0)
Catch a KeyError. | except KeyError:
Read the whole file. | file.read()
Leave the loop. | break
Reverse the list. | items.reverse()
Compute the square root. | math.sqrt(x)
Remove white space at both ends. | text.strip()
Exit the program. | sys.exit()
Return the sum of the prices. | return sum(prices)
Start the process. | process.start()
Import the json module. | import json
Get the type of the object. | type(object)
Append the item to the list. | items.append(item)
Define a class. | class Name:
Encode the text as bytes. | text.encode()
Choose an item at random. | random.choice(items)
List the files of the directory. | os.listdir(directory)
Return nothing. | return None
Copy the dictionary. | table.copy()
Release the lock. | lock.release()
Get the first character. | text[0]
Repeat forever. | while True:
Rename the file. | os.rename(old, new)
Compile the regular expression. | re.compile(pattern)
Count from zero to nine. | range(10)
Raise an exception if the value is negative. | if value < 0: raise ValueError
Flush the stream. | stream.flush()
Get the keys of the dictionary. | table.keys()
Return the smaller of the two. | return min(a, b)
Join the words with spaces. | ' '.join(words)
Set the attribute. | setattr(object, name, value)
Ask the user for a name. | name = input()
Make the text upper case. | text.upper()
Clear the cache. | cache.clear()
Get the values of the dictionary. | table.values()
Convert the number to a string. | str(number)
Import the random module. | import random
Insert the item at the beginning. | items.insert(0, item)
Return whether all of them are true. | return all(items)
Close the file. | file.close()
"""

QUESTIONS = [
    dict(zip(("text", "code"), line.split(" | "), strict=True))
    for line in _PAIRS.strip().splitlines()
]
N_EXAMPLES = 8
