"""The broker: what may be asked (`catalogue`), under which agreements (`agreements`), and each asking (`exchange`)."""
