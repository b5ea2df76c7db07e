"""Names of the classes of public datasets, by class id: facts, from the datasets' own files.

As mmsegmentation lists them too. A layout gives them where file names prove the dataset.
"""

ADE20K = tuple(
    "wall,building,sky,floor,tree,ceiling,road,bed,windowpane,grass,cabinet,sidewalk,person,earth,"
    "door,table,mountain,plant,curtain,chair,car,water,painting,sofa,shelf,house,sea,mirror,rug,"
    "field,armchair,seat,fence,desk,rock,wardrobe,lamp,bathtub,railing,cushion,base,box,column,"
    "signboard,chest of drawers,counter,sand,sink,skyscraper,fireplace,refrigerator,grandstand,"
    "path,stairs,runway,case,pool table,pillow,screen door,stairway,river,bridge,bookcase,blind,"
    "coffee table,toilet,flower,book,hill,bench,countertop,stove,palm,kitchen island,computer,"
    "swivel chair,boat,bar,arcade machine,hovel,bus,towel,light,truck,tower,chandelier,awning,"
    "streetlight,booth,television receiver,airplane,dirt track,apparel,pole,land,bannister,"
    "escalator,ottoman,bottle,buffet,poster,stage,van,ship,fountain,conveyer belt,canopy,washer,"
    "plaything,swimming pool,stool,barrel,basket,waterfall,tent,bag,minibike,cradle,oven,ball,food,"
    "step,tank,trade name,microwave,pot,animal,bicycle,lake,dishwasher,screen,blanket,sculpture,"
    "hood,sconce,vase,traffic light,tray,ashcan,fan,pier,crt screen,plate,monitor,bulletin board,"
    "shower,radiator,glass,clock,flag".split(",")
)

CITYSCAPES = tuple(
    "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,"
    "person,rider,car,truck,bus,train,motorcycle,bicycle".split(",")
)

VOC = tuple(
    "background,aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,"
    "motorbike,person,pottedplant,sheep,sofa,train,tvmonitor".split(",")
)

PASCAL_CONTEXT = tuple(
    "background,aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,table,dog,horse,motorbike,"
    "person,pottedplant,sheep,sofa,train,tvmonitor,bag,bed,bench,book,building,cabinet,ceiling,"
    "cloth,computer,cup,door,fence,floor,flower,food,grass,ground,keyboard,light,mountain,mouse,"
    "curtain,platform,sign,plate,road,rock,shelves,sidewalk,sky,snow,bedclothes,track,tree,truck,"
    "wall,water,window,wood".split(",")
)

LOVEDA = ("background", "building", "road", "water", "barren", "forest", "agricultural")

CAMVID = tuple(
    "sky,building,pole,road,pavement,tree,signsymbol,fence,car,pedestrian,bicyclist".split(",")
)

POTSDAM = ("impervious_surface", "building", "low_vegetation", "tree", "car", "clutter")
POTSDAM_COLOURS = (
    *((255, 255, 255, 0), (0, 0, 255, 1), (0, 255, 255, 2), (0, 255, 0, 3)),
    *((255, 255, 0, 4), (255, 0, 0, 5), (0, 0, 0, -1)),
)
"""`(R, G, B, class id)`; boundaries, which are black, are not counted."""

ISAID = tuple(
    "background,ship,store_tank,baseball_diamond,tennis_court,basketball_court,Ground_Track_Field,"
    "Bridge,Large_Vehicle,Small_Vehicle,Helicopter,Swimming_pool,Roundabout,Soccer_ball_field,"
    "plane,Harbor".split(",")
)
ISAID_COLOURS = tuple(
    (*colour, number)
    for number, colour in enumerate(
        [
            *((0, 0, 0), (0, 0, 63), (0, 63, 63), (0, 63, 0), (0, 63, 127), (0, 63, 191)),
            *((0, 63, 255), (0, 127, 63), (0, 127, 127), (0, 0, 127), (0, 0, 191), (0, 0, 255)),
            *((0, 191, 127), (0, 127, 191), (0, 127, 255), (0, 100, 155)),
        ]
    )
)
